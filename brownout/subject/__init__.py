"""The subject (the system under test) of a trial: its processes, each in its own process group, and its Redis
server."""
