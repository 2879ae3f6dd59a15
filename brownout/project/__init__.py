"""What a project is made of, as far as its files and its application tell: for `brownout init`."""
