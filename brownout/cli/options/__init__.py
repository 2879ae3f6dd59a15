"""Groups of options that several commands have, and the file of a project that gives them."""
