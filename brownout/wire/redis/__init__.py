"""The Redis traffic that passes through the network proxy: the protocol (RESP), requests and answers, and the object
that orders and counts them (the conductor)."""
