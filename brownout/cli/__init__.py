"""The command line: one file a subcommand. Each has `add`, which adds its parser and what it runs."""

from brownout.cli.main import main as main
