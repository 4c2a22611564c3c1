"""The one place that says where the command line stands, for the page of the reference."""

from gobelin.interfaces.cli import cli as cli
