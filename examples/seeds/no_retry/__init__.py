"""S2: a task that fails once because the service it calls failed once is never run again.

The mend waits 1, 2, 4, 8, 16 s between attempts, so it outlives an outage of half a minute, not a longer one. Without
jitter on purpose: Celery's full jitter draws from 0 upwards and may spend all five attempts within a second.
"""
