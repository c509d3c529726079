"""The read-only port: metrics, health, status and windows over HTTP, with TLS where it is asked."""
