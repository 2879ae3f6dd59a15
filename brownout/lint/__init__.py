"""What will go wrong in an application, read from its live configuration and its code: `brownout lint`."""
