"""Which error reply a Redis in a bad state gives to which request, so that none is injected that no server would give.

All of it is what redis-server 7.0 answers (`processCommand` in server.c decides); tests/kit/test_refusals.py brings a
real server into each state and compares byte by byte. Later servers say a few of the texts in other words (Valkey its
own name; HELLO <proto> AUTH), which that test allows. An error looks the same in RESP2 and RESP3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Command = tuple[bytes, ...]  # a command and its arguments
Flags = frozenset[str]

#: Commands that Celery, kombu and redis-py send, by those of their flags (COMMAND INFO) on which a refusal depends.
_BY_FLAGS: Mapping[str, str] = {
    "write denyoom": "APPEND DECR DECRBY HINCRBY HMSET HSET HSETNX INCR INCRBY LPUSH LPUSHX LSET MSET PSETEX RPOPLPUSH"
    " RPUSH RPUSHX SADD SET SETEX SETNX SETRANGE XADD ZADD ZINCRBY BLMOVE BRPOPLPUSH LMOVE",
    "write": "BLPOP BRPOP DEL EXPIRE EXPIREAT FLUSHALL FLUSHDB GETDEL GETEX HDEL LPOP LREM LTRIM PERSIST PEXPIRE"
    " PEXPIREAT RENAME RPOP SPOP SREM UNLINK XACK ZPOPMIN ZREM ZREMRANGEBYRANK ZREMRANGEBYSCORE",
    "": "DBSIZE EVAL EVALSHA EXISTS GET GETRANGE HEXISTS HGET HGETALL HKEYS HLEN HMGET KEYS LINDEX LLEN LRANGE MGET"
    " PING PTTL RANDOMKEY SCAN SCARD SISMEMBER SMEMBERS STRLEN TTL TYPE ZCARD ZCOUNT ZRANGE ZRANGEBYSCORE ZRANK"
    " ZREVRANGE ZREVRANGEBYSCORE ZSCORE SCRIPT|EXISTS SCRIPT|FLUSH SCRIPT|LOAD",
    "loading": "ECHO EXEC INFO PSUBSCRIBE PUBLISH PUNSUBSCRIBE ROLE SELECT SUBSCRIBE TIME UNSUBSCRIBE"
    " CLIENT|GETNAME CLIENT|ID CLIENT|LIST CLIENT|SETNAME CONFIG|GET CONFIG|SET",
    "loading allow_busy": "DISCARD MULTI UNWATCH WATCH",
    "loading allow_busy no_auth": "AUTH HELLO QUIT RESET",
}
#: The same by command; a command of two words is one name: "SCRIPT|LOAD".
COMMANDS: Mapping[str, Flags] = {
    name: frozenset(flags.split()) for flags, names in _BY_FLAGS.items() for name in names.split()
}
UNQUEUED = frozenset({"DISCARD", "EXEC", "MULTI", "QUIT", "RESET", "WATCH"})  # in a transaction they act at once
ABORTED = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
ABORTED_BY = b"-EXECABORT Transaction discarded because of: "
OK, QUEUED = b"+OK\r\n", b"+QUEUED\r\n"


@dataclass(frozen=True)
class State:
    """A state of a server, the reply with which it refuses, and `refuses(name, flags, in_transaction)`: what.

    `newcomers`: only a connection that was opened in this state is refused anything. `closes`: the server sends `error`
    as soon as the connection stands, without a request, and closes it; so it can only be the first thing received.
    """

    name: str
    error: bytes
    refuses: Callable[[str, Flags, bool], bool]
    newcomers: bool = False
    closes: bool = False


def _while_loading(_name: str, flags: Flags, _queued: bool) -> bool:
    """What has no CMD_LOADING; PING has none.

    A connection meets this after the server's restart; in its middle when the server became a replica and loads what
    its master sent.
    """
    return "loading" not in flags


def _by_a_replica(_name: str, flags: Flags, _queued: bool) -> bool:
    """Writes, BRPOP among them, empty list or not (replica-read-only; replica-serve-stale-data yes: reads are served).

    PUBLISH is no write, nor is a script, until it writes.
    """
    return "write" in flags


def _by_a_busy_script(_name: str, flags: Flags, _queued: bool) -> bool:
    """What has no CMD_ALLOW_BUSY, once a script has run for busy-reply-threshold. EXEC has none, MULTI has."""
    return "allow_busy" not in flags


def _without_memory(_name: str, flags: Flags, queued: bool) -> bool:
    """What has CMD_DENYOOM; in a transaction whatever is to be queued, even a ZREM or a GET, since queueing costs."""
    return "denyoom" in flags or queued


def _after_a_failed_save(name: str, flags: Flags, _queued: bool) -> bool:
    """Writes and PING (stop-writes-on-bgsave-error; the text is another one where writing the AOF failed)."""
    return "write" in flags or name == "PING"


def _without_a_password(name: str, flags: Flags, _queued: bool) -> bool:
    """What has no CMD_NO_AUTH, and HELLO and AUTH by themselves, without the password or with a wrong one.

    Who was connected before there was a password stays authenticated.
    """
    return "no_auth" not in flags or name in ("HELLO", "AUTH")


def _without_room(_name: str, _flags: Flags, _queued: bool) -> bool:
    """All: the connection is not taken (acceptCommonHandler in networking.c)."""
    return True


STATES: Mapping[str, State] = {
    state.name: state
    for state in (
        State("loading", b"-LOADING Redis is loading the dataset in memory\r\n", _while_loading),
        State("readonly", b"-READONLY You can't write against a read only replica.\r\n", _by_a_replica),
        State(
            "busy",
            b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
            _by_a_busy_script,
        ),
        State("oom", b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", _without_memory),
        State(
            "misconf",
            b"-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. "
            b"Commands that may modify the data set are disabled, because this instance is configured to report "
            b"errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). "
            b"Please check the Redis logs for details about the RDB error.\r\n",
            _after_a_failed_save,
        ),
        State("noauth", b"-NOAUTH Authentication required.\r\n", _without_a_password, newcomers=True),
        State("maxclients", b"-ERR max number of clients reached\r\n", _without_room, newcomers=True, closes=True),
    )
}
NO_HELLO = (
    b"-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> "
    b"<pass> option can be used to authenticate the client and select the RESP protocol version at the same time\r\n"
)
WRONG_PASSWORD = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"


def refusal(state: str, commands: Sequence[Command]) -> bytes | None:
    """Return all replies, raw, of a server in this state to a request that it refuses; None if it would execute it.

    A request is one command, or MULTI, commands and EXEC. A script (EVAL, EVALSHA) that may be started is executed,
    although a write in it can fail then; the error would name its line. None also for a command that is not in
    `COMMANDS`: nothing was derived for it. (CLIENT SETINFO is not: 7.0 does not know it, and redis-py does not mind
    whether that or -BUSY, as from 7.2 on, is the answer.) Raises KeyError for an unknown state, ValueError for what
    is no request.
    """
    here = STATES[state]
    if not commands or not all(commands):
        raise ValueError("a request has a command")
    names = [name_of(command) for command in commands]
    if len(names) > 1 and (names[0], names[-1]) != ("MULTI", "EXEC"):
        raise ValueError(f"neither one command nor a transaction: {', '.join(names)}")
    if UNQUEUED & set(names[1:-1]):
        raise ValueError(f"not what MULTI queues: {', '.join(names[1:-1])}")
    if here.closes:
        return here.error
    if not COMMANDS.keys() >= set(names):
        return None
    last = len(names) - 1
    refused = [_refused(here, command, 0 < place < last) for place, command in enumerate(commands)]
    if not any(refused):
        return None
    if last == 0:
        return refused[0]
    replies = [refused[0] or OK, *(reply or QUEUED for reply in refused[1:-1]), refused[-1] or ABORTED]
    return b"".join(replies)


def name_of(command: Command) -> str:
    """As in `COMMANDS`."""
    words = [word.decode("latin-1").upper() for word in command[:2]]
    return "|".join(words) if words[0] in ("CLIENT", "CONFIG", "SCRIPT") else words[0]


def _refused(state: State, command: Command, queued: bool) -> bytes | None:
    """The reply to one command of a request, if it is an error."""
    name = name_of(command)
    if not state.refuses(name, COMMANDS[name], queued):
        return None
    if name == "EXEC":
        return ABORTED_BY + state.error[1:]
    if state.name == "noauth" and "no_auth" in COMMANDS[name]:
        tries = name == "AUTH" or b"AUTH" in [word.upper() for word in command[2:]]
        return WRONG_PASSWORD if tries else NO_HELLO
    return state.error
