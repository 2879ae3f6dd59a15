"""A map as data: cells, pairs of faults, outcomes, baselines, and differences of two maps."""
