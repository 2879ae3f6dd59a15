"""All five: messages and results share a database, so whoever clears the results clears the queue.

The mend gives results a database of their own. That helps against a FLUSHDB and nothing else: eviction, a full memory
and the death of the server hit all databases of a server, so point `RESULT_URL` at another one.
"""
