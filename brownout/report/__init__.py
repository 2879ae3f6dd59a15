"""Handlers that turn a run's events into text, files and annotations; each kind of output has a module of its own."""
