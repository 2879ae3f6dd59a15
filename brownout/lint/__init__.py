"""Finds what will go wrong in an application, from its live configuration and its code, for `brownout lint`."""
