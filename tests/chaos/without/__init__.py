"""The system with one part taken out, each by replacing that part in a module of its own."""
