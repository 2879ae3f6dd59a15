"""Clients of the subject, and the generator that starts their operations."""
