"""All five: by default a message is acknowledged before its task runs, and a worker that dies takes the task with it.

The mend acknowledges afterwards, and gives the message back when the pool process alone died. The message of a dead
worker comes back after `visibility_timeout`, which must be longer than the task. What the mend does not do: a message
that Redis handed out and the worker never received is lost either way, a task can now run twice, and one that kills its
process comes back for ever.
"""
