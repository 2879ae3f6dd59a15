"""Handlers that turn a run's events into text, files and annotations: one file for each output."""
