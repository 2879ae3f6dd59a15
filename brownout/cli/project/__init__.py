"""The commands that look at a project as a whole: what its code tells, whether it works, and its file."""
