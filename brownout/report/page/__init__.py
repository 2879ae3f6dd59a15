"""HTML pages of trials, runs and fault maps: each is one file that opens without a network."""
