"""S0, S2, S4: a broker call inside `async def` holds every other request for as long as the broker takes.

The mend publishes in a thread. The socket time-outs bound how long that thread can be held, kombu's own default is for
ever; a publish that ran into one may have reached Redis, and the caller is told 503, which claims neither.
"""
