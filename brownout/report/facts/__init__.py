"""What a failed trial shows, as frozen values without any text layout. Every report is made from these values.

`failure.facts(result)` returns a `Failure`, which holds all of them. Times are nanoseconds of the history's clock.

| module | function | value |
|---|---|---|
| `failure` | `facts(result)` | `Failure`: the headline and everything below |
| `leading` | `leading(verdicts, history)` | `Lead`: the root anomaly as a `Tally`, what else it breaks, other tallies |
| `bands` | `bands(history)` | `Band`: one fault, its target, its begin and end |
| `whereabouts` | `whereabouts(history, lanes, key, task)` | `Whereabouts`: where the example job is at the end |
| `lanes` | `lanes(history)` | `Lanes`: a `Lane` for each process, a `Depth` for each sample of the broker |
| `cause` | `cause(history, lanes, anomaly, where)` | `Cause` (in `case`): the event that is the cause, and a sentence |
| `account` | `account(history, anomaly, cause)` | `Step`: the events of the example job, in order |
| `stalls` | `stalls(history)` | `Stall`: its length, the application's own frame, what it slowed down |
| `defaults` | `named_default(kind, seconds)` | the name of the Celery default that has this value |
| `logs` | `first_errors(folder, ...)` | `LogLine`: the first ERROR or CRITICAL line of each log near the mark |
"""
