"""Toxiproxy: its HTTP API for the built-in wire, and an adapter that drives a server of it."""
