"""Toxiproxy: its HTTP API for the built-in network proxy, and an adapter that uses a Toxiproxy server as a network
proxy."""
