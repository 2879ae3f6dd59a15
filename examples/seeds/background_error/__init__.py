"""S2, S4: an exception in a background function ends in the server's log; the client has its 200 long since.

The mend tries again, and records as an outcome of its own that it gave up.
"""
