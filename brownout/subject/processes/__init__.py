"""Starts, supervises and ends processes, and leaves none behind."""
