"""S2: `AsyncResult.result` of a failed task is an exception, and the status handler returns it as it is.

With a return annotation, as here, FastAPI cannot serialise it: 500. As printed, without one, it answers 200 with an
empty object for the reason: `rest_api` shows that. The mend turns it into text. It asks the value, not the state: the
two are separate reads, and a task may fail in between.
"""
