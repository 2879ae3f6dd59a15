"""Runs one trial of a plan: starts the subject, strikes faults, waits for the end, judges the history."""
