"""Nothing is configured here but what every layer shares."""
