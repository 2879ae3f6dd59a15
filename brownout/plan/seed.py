"""One seed, and from it one independent stream of chance for each concern."""

from __future__ import annotations

import hashlib
import random
import secrets

SEED_BITS = 64


def fresh_seed() -> int:
    """A new 64-bit seed."""
    return secrets.randbits(SEED_BITS)


def stream(seed: int, *concern: str | int) -> random.Random:
    """The stream of one concern, such as ("wire", "api->broker"): what one draws does not move another's draws."""
    if not 0 <= seed < 1 << SEED_BITS:
        raise ValueError(f"a seed has {SEED_BITS} bits and is not negative: {seed!r}")
    name = "\0".join(map(str, concern)).encode()
    digest = hashlib.blake2b(name, digest_size=8, key=seed.to_bytes(8, "big")).digest()
    return random.Random(int.from_bytes(digest, "big"))
