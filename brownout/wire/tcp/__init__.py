"""TCP: edges, the connections through edges (links), and the toxics that act on the bytes of links."""
