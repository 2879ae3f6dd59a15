"""The error replies of a Redis server in a bad state. A fault injects only errors that a real server can send.

The error replies are those of redis-server 7.0 (`processCommand` in server.c). tests/kit/test_refusals.py brings a real
server into each state and compares the replies byte by byte. Later servers word a few replies differently (Valkey uses
its own name, others write HELLO <proto> AUTH), and the test allows these differences. The error replies are the same in
the protocols RESP2 and RESP3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Command = tuple[bytes, ...]  # a Redis command with its arguments
Flags = frozenset[str]

#: Commands that Celery, kombu and redis-py send, by the flags (COMMAND INFO) on which a refusal depends.
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
#: Maps each command to its flags. The name of a command of two words is written "SCRIPT|LOAD".
COMMANDS: Mapping[str, Flags] = {
    name: frozenset(flags.split()) for flags, names in _BY_FLAGS.items() for name in names.split()
}
# Commands that Redis does not queue in a transaction
UNQUEUED = frozenset({"DISCARD", "EXEC", "MULTI", "QUIT", "RESET", "WATCH"})
ABORTED = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
ABORTED_BY = b"-EXECABORT Transaction discarded because of: "
OK, QUEUED = b"+OK\r\n", b"+QUEUED\r\n"


@dataclass(frozen=True)
class State:
    """A state in which a Redis server refuses commands, and the error with which it replies.

    The function `refuses(name, flags, in_transaction)` returns whether the server refuses a command. If `newcomers` is
    true, the server refuses only connections that were opened while it was in this state. If `closes` is true, the
    server sends `error` as soon as the connection is opened, without a request, and closes the connection.
    """

    name: str
    error: bytes
    refuses: Callable[[str, Flags, bool], bool]
    newcomers: bool = False
    closes: bool = False


def _while_loading(_name: str, flags: Flags, _queued: bool) -> bool:
    """Refuse commands without CMD_LOADING, such as PING.

    A server loads its data after a restart; a server that became a replica also loads data while connections are
    open.
    """
    return "loading" not in flags


def _by_a_replica(_name: str, flags: Flags, _queued: bool) -> bool:
    """Refuse writes, also BRPOP on an empty list (replica-read-only), but not reads (replica-serve-stale-data).

    Redis does not count PUBLISH as a write, and refuses a script only at its first write.
    """
    return "write" in flags


def _by_a_busy_script(_name: str, flags: Flags, _queued: bool) -> bool:
    """Refuse commands without CMD_ALLOW_BUSY, such as EXEC, after a script has run for busy-reply-threshold."""
    return "allow_busy" not in flags


def _without_memory(_name: str, flags: Flags, queued: bool) -> bool:
    """Refuse commands with CMD_DENYOOM, and all commands in a transaction, because queueing needs memory."""
    return "denyoom" in flags or queued


def _after_a_failed_save(name: str, flags: Flags, _queued: bool) -> bool:
    """Refuse writes and PING (stop-writes-on-bgsave-error). After a failed write of the append-only file Redis replies
    with another text; this state does not model that."""
    return "write" in flags or name == "PING"


def _without_a_password(name: str, flags: Flags, _queued: bool) -> bool:
    """Refuse commands without CMD_NO_AUTH, and HELLO and AUTH without the right password.

    Connections that were opened before the server got a password stay authenticated.
    """
    return "no_auth" not in flags or name in ("HELLO", "AUTH")


def _without_room(_name: str, _flags: Flags, _queued: bool) -> bool:
    """Refuse everything: the server does not accept the connection (acceptCommonHandler in networking.c)."""
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
    """Return the bytes of the replies with which a server in this state refuses a request.

    A request is one command, or a transaction (MULTI, commands and EXEC). Returns None if the server executes the
    request. A script (EVAL, EVALSHA) counts as executed when the server starts the script, although a write in the
    script can fail with an error that names a line. Returns None also for commands that are not in `COMMANDS`, because
    their replies were not tested. (CLIENT SETINFO is unknown to 7.0; from 7.2 on the reply is -BUSY; redis-py ignores
    both errors.) Raises KeyError for an unknown state, and ValueError if `commands` are not a request.
    """
    here = STATES[state]
    if not commands or not all(commands):
        raise ValueError("a request must have at least one command, and no command may be empty")
    names = [name_of(command) for command in commands]
    if len(names) > 1 and (names[0], names[-1]) != ("MULTI", "EXEC"):
        raise ValueError(f"a request is one command or a transaction (MULTI ... EXEC), not {', '.join(names)}")
    if unqueued := UNQUEUED & set(names[1:-1]):
        raise ValueError(f"a transaction does not queue {', '.join(sorted(unqueued))}")
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
    """Return the command's name as `COMMANDS` has it."""
    words = [word.decode("latin-1").upper() for word in command[:2]]
    return "|".join(words) if words[0] in ("CLIENT", "CONFIG", "SCRIPT") else words[0]


def _refused(state: State, command: Command, queued: bool) -> bytes | None:
    """Return the error reply to one command of a request, or None if the server accepts the command."""
    name = name_of(command)
    if not state.refuses(name, COMMANDS[name], queued):
        return None
    if name == "EXEC":
        return ABORTED_BY + state.error[1:]
    if state.name == "noauth" and "no_auth" in COMMANDS[name]:
        tries = name == "AUTH" or b"AUTH" in [word.upper() for word in command[2:]]
        return WRONG_PASSWORD if tries else NO_HELLO
    return state.error
