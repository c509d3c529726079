"""`python -m enforcer`."""

from enforcer.cli.main import entry

entry()
