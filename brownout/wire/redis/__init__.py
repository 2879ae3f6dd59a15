"""Redis on the wire: the protocol (RESP), requests and answers of connections, and their conductor."""
