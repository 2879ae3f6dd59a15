"""The history of a trial: every observed event, one line per event, with times of one monotonic clock."""
