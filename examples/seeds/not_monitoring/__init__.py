"""S2: nobody looks at the queue, so it grows while the health check says ok.

The mend looks: at the limit the health check says 503, and so do submissions, which is what bounds the queue (give or
take the requests that look at the same moment).
"""
