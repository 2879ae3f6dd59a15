"""Finds out what a project is made of, from its files and its application; `brownout init` and `brownout doctor` use
this package."""
