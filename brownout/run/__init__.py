"""Runs one trial of a plan: starts the system under test, causes the faults, waits for the end, and judges the recorded
history."""
