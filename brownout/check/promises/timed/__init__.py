"""Promises about times that a trial measured: answers, stalls of an event loop, recovery."""
