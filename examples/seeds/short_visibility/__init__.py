"""All five: a task for later is not acknowledged until it starts. Redis hands it out again each `visibility_timeout`.

The mend makes the time-out longer than the longest delay. Its price: the message of a dead worker waits as long.
"""
