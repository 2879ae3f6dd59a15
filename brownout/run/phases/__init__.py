"""The phases of a trial before the load and after it: steady state, settling or drain, and reading the final state."""
