"""Registrations by HTTP, fetched and verified by a process beside the daemon."""
