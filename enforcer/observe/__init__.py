"""What people and programs look at: metrics, status, audit, report."""
