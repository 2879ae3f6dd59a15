"""Judges of a history: pure functions from a history and a promise to a verdict."""
