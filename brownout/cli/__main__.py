"""Runs the command line by `python -m brownout.cli`."""

import sys

from brownout.cli import main

sys.exit(main())
