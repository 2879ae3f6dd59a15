"""The servers of a subject: Redis as a local process or in a container, and Toxiproxy."""
