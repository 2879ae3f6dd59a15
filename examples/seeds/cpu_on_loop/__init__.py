"""S0, S4: a computation inside `async def` holds every other request until it is done.

The mend sends the task instead of calling it. A thread would not do: it shares the interpreter's lock with the
loop, and a handful of them hold it back as well.
"""
