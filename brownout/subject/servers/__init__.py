"""The servers of a subject: a Redis server (a local process or a container), and a Toxiproxy server."""
