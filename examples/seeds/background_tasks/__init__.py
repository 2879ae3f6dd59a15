"""S4: a background task after the response. Corrected: the function that passes now does something."""
