"""Reads the code of the application from its live objects, without calling any function of the application."""
