"""Toxiproxy: its HTTP API for the built-in wire, and an adapter that uses a Toxiproxy server as a wire."""
