"""Why a job was not done: who had it last, and what became of its message."""

from __future__ import annotations

from brownout.check.accounting import is_over
from brownout.check.interval import readable
from brownout.history.event import Event
from brownout.history.operation import RANK, state_of
from brownout.history.view import History
from brownout.report.facts.case import NS, Case, Cause
from brownout.report.facts.lanes import Lanes, state
from brownout.report.facts.whereabouts import TAKEN, celery_settings, doer, is_unacked


def lost(case: Case) -> Cause | None:
    """Why a job is nowhere."""
    taken = [event for event in case.events if event.kind in TAKEN]
    if over := _over(case) or _ignored(case):
        return over
    seen, gone = _last_seen(case)
    if seen and gone and (not taken or (seen.at >= taken[-1].at and not _died_with(case, taken[-1], seen, gone))):
        return _vanished(case, seen, gone)
    if taken:
        return _unfinished(case, taken[-1])
    return _unpublished(case)


def _over(case: Case) -> Cause | None:
    """Says that a worker ended the task although it did not take effect; None when no worker ended it."""
    ends = [event for event in case.events if event.kind in ("failed", "rejected", "revoked") or is_over(event)]
    if not ends:
        return None
    last = next((event for event in reversed(ends) if event.kind != "ended"), ends[-1])
    if last.kind == "ended":
        sentence = f"{last.source} ended {case.name} with {state_of(last)}, but no effect was recorded"
        return Cause(last, sentence, "no effect")
    how = "failed" if last.kind == "failed" else f"was {last.kind}"
    error = f" with {last.data['error']}" if last.data.get("error") else ""
    return Cause(last, f"{case.name} {how}{error} on {last.source}", "it ended here")


def _ignored(case: Case) -> Cause | None:
    """Says that the last delivery was thrown away by the task itself, which raised `celery.exceptions.Ignore`."""
    own = [event for event in case.events if event.kind in (*TAKEN, "ended")]
    if not own or own[-1].kind != "ended" or state_of(own[-1]) != "IGNORED":
        return None
    last, count = own[-1], sum(event.kind == "ended" and state_of(event) == "IGNORED" for event in own)
    times = f"each of the last {count} deliveries" if count > 1 else "the last delivery"
    sentence = f"{case.name} took no effect, because its task ignored {times} (celery.exceptions.Ignore)"
    return Cause(last, f"{sentence}; the last one was on {last.source}", "ignored")


def _last_seen(case: Case) -> tuple[Event | None, Event | None]:
    """The last sample of the broker that shows the job's message, and the sample after it."""
    tasks = {event.task for event in case.events if event.task}
    samples = [sample for sample in case.history.kind("sample") if "by_task" in sample.data]
    shown = [n for n, sample in enumerate(samples) if tasks & sample.data["by_task"].keys()]
    if not shown:
        return None, None
    return samples[shown[-1]], samples[shown[-1] + 1] if shown[-1] + 1 < len(samples) else None


def _died_with(case: Case, taken: Event, seen: Event, gone: Event) -> bool:
    """Whether the message was last seen with a worker that died before the next look: the sample may lie in the moment
    between the delivery and an early acknowledgement."""
    died = case.died(taken.source, taken.at)
    return is_unacked(seen.data["by_task"].get(taken.task, "")) and died is not None and died.at <= gone.at


def _vanished(case: Case, seen: Event, gone: Event) -> Cause:
    by_task = seen.data["by_task"]
    place = next(by_task[event.task] for event in case.events if event.task in by_task)
    message = f"the message of {case.name} was {'unacked' if is_unacked(place) else f'in queue {place}'}"
    for window in case.history.faults:
        struck = window.acted[0] if window.acted else window.start
        if window.start.at <= gone.at and struck.at >= seen.at:
            return Cause(struck, f"{message} until {window.text} struck", "its message was gone")
    return Cause(seen, f"{message}, and then no worker received it", "the last sign of its message")


def _unfinished(case: Case, taken: Event) -> Cause:
    worker = taken.source
    retry = next((e for e in case.events if e.kind == "retry" and e.source == worker and e.at >= taken.at), None)
    if retry is not None:
        sentence = f"{worker} asked for the next attempt of {case.name}, and then no worker received it"
        return Cause(retry, sentence, "the next attempt never began")
    died = case.died(worker, taken.at)
    if died is None:
        return Cause(taken, f"{worker} received {case.name} and never finished it", "never finished")
    until = case.struck(worker, died)
    # The message of an unfinished task stays in `unacked`, unless it was acknowledged before.
    after = next((s for s in case.history.kind("sample") if s.at > died.at and "by_task" in s.data), None)
    early = after is not None and taken.task not in after.data["by_task"]
    acked = f"; the message was acknowledged before the work was done{_acks_late(case)}" if early else ""
    return Cause(until, f"{worker} {_ending(died)} while it had {case.name}{acked}", "ended the worker that had it")


def _ending(died: Event) -> str:
    return "was ended by a fault" if died.data.get("struck") else f"ended by itself (exit code {died.data.get('code')})"


def _acks_late(case: Case) -> str:
    """Says that nobody set `task_acks_late`, when a worker told its settings and this one is not among them."""
    settings = celery_settings(case.history)
    return "" if settings is None or "task_acks_late" in settings else " (task_acks_late is off, Celery's default)"


def _unpublished(case: Case) -> Cause:
    accepted = next((event for event in case.events if event.kind in ("ok", "accepted")), None)
    tried, name = case.where.publishes, case.name
    if case.where.task is None:
        return _without_task(case, accepted)
    if tried is None:
        return Cause(accepted, f"no worker received {name}, and no sample shows its message", "then nothing")
    if not tried:
        return Cause(accepted, f"no process tried to publish {name}", "then no process published it")
    last = tried[-1]
    event = next(event for event in case.events if event.kind == "publish" and event.at == last.at)
    if last.done is None:
        times = f" ({len(tried)} attempts)" if len(tried) > 1 else ""
        sentence = f"{last.source} could not publish {name}{times}, and no process tried again"
        return Cause(event, sentence, "not published, and not tried again")
    after = next((s.at for s in case.history.kind("sample") if s.at > last.done), case.where.at)
    for window in case.history.faults:
        struck = window.acted[0] if window.acted else window.start
        if last.done <= struck.at <= after:
            since = readable((struck.at - last.done) / NS)
            return Cause(
                struck, f"{window.text} struck {since} after {last.source} had published {name}", "message gone"
            )
    sentence = f"{last.source} published {name}, and then no worker received it"
    return Cause(event, sentence, "the last sign of its message")


def _without_task(case: Case, accepted: Event | None) -> Cause:
    """The answer named no task: the API may have done the work itself."""
    since = accepted.at if accepted else 0
    died = case.died("api", since)
    if died is None:
        return Cause(accepted, f"no event after its answer names {case.name} or a task of it", "then nothing")
    after = readable((died.at - since) / NS)
    sentence = f"api {_ending(died)} {after} after it had accepted {case.name}"
    return Cause(case.struck("api", died), sentence, "ended api")


_BECAME = {"alive": "is alive", "frozen": "is frozen", "ended": "has ended since", "unknown": "is in an unknown state"}


def stuck(case: Case) -> Cause | None:
    """Why a job hangs: unacked, in a queue that nobody reads any more, or done with a status that is not final."""
    where = case.where
    if is_unacked(where.place):
        taken = next((event for event in reversed(case.events) if event.kind in TAKEN), None)
        holder = f"{where.holder}, which received it, {_BECAME[where.state]}" if where.holder else "no worker has it"
        return Cause(taken, f"the message of {case.name} is still unacked, and {holder}", "still unacked")
    if where.place:
        return stopped_consuming(case.history, case.lanes, where.at)
    done = next((event for event in case.events if event.kind == "effect"), None)
    if done is None:
        return lost(case)
    sentence = f"{case.name} was done, but its last status is {where.status}{_told_instead(case, done)}"
    worker = doer(done, case.events)
    died = case.died(worker, done.at)
    own = (event for event in case.events if event.source == worker and event.kind == "ended")
    if died is None or any(done.at <= event.at < died.at for event in own):
        return Cause(done, sentence, "then no final status")
    after = readable((died.at - done.at) / NS)
    sentence += f"; {worker} {_ending(died)} {after} after the effect"
    return Cause(case.struck(worker, died), sentence, "before the work was acknowledged")


def _told_instead(case: Case, done: Event) -> str:
    """How often a status was read after the effect, and whether the application's own store has a final state."""
    reads = sum(event.kind == "read" and event.at > done.at for event in case.events)
    final = next((str(value) for value in (case.where.row or {}).values() if RANK.get(str(value).upper(), 0) > 1), "")
    often = f", read {reads} times after its effect" if reads > 1 else ""
    return f"{often}; the application's own store says {final}" if final else often


def stopped_consuming(history: History, lanes: Lanes, at: int) -> Cause | None:
    """A worker that is alive and received nothing more although messages waited; None when there is no such worker."""
    last = {event.source: event for event in history.kind("received")}
    readies = {event.source: event for event in history.kind("ready", source="worker")}
    for name, ready in sorted(readies.items()):
        event = max((e for e in (ready, last.get(name)) if e), key=lambda e: e.at)
        waiting = [depth.waiting for depth in lanes.depth if event.at + NS <= depth.at <= at]
        if at - event.at > NS and waiting and all(waiting) and state(lanes, name, at) == "alive":
            messages = "1 message" if max(waiting) == 1 else f"up to {max(waiting)} messages"
            lasted = readable((at - event.at) / NS)
            sentence = f"{name} stopped consuming: it received nothing for {lasted} while {messages} waited"
            return Cause(event, sentence, "then it received nothing more")
    return None
