"""The documents' applications with their mistakes, and for each mistake the smallest variant that mends it."""
