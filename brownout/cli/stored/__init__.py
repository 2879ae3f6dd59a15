"""Subcommands for what the store has: trials, maps and their differences."""
