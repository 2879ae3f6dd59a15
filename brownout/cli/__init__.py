"""The command line, with one module for each subcommand. Each module's `add` adds the subcommand's parser."""

from brownout.cli.main import main as main
