"""Reads the application's own code from its live objects: nothing of it is called."""
