"""The HTTP routes of the API."""
