"""The fault map: every fault point of a task's life on the wire, by every way it can fail."""
