"""`python -m graphfix`."""

from graphfix.cli.main import entry

entry()
