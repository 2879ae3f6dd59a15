"""The command line, with one module for each subcommand. In each module, the function `add` adds the parser of the
subcommand."""

from brownout.cli.main import main as main
