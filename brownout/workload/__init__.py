"""Clients, and what drives them."""
