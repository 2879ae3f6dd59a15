"""TCP: network edges, the connections through them (links), and the toxics (network faults) that act on the bytes of
the links."""
