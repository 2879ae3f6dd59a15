"""S2: results are thrown away, so a caller who asks is told PENDING for ever, done or not.

The mend keeps them; they are there for a day (`result_expires`).
"""
