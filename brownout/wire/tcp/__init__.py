"""TCP: edges, the links through them, and the toxics that act on their bytes."""
