"""Everything observed in a trial: one append-only line an event, one monotonic clock."""
