"""Redis on the wire: its protocol, the points of a conversation, and the conductor that knows them."""
