"""Fault maps and pairs as text: a grid, and rows of cells."""
