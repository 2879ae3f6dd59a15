"""The root of the tests; it is empty because no fixture or option is shared by all layers of tests."""
