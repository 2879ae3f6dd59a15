"""The seed of a trial, and independent random streams that are derived from the seed."""

from __future__ import annotations

import hashlib
import random
import secrets

SEED_BITS = 64


def fresh_seed() -> int:
    """Return a new random 64-bit seed."""
    return secrets.randbits(SEED_BITS)


def stream(seed: int, *concern: str | int) -> random.Random:
    """Return the stream of random numbers for one purpose, such as ("wire", "api->broker").

    Taking a random number from one stream does not change the numbers of other streams. Raises ValueError for a seed
    that does not fit into 64 bits.
    """
    if not 0 <= seed < 1 << SEED_BITS:
        raise ValueError(f"a seed has {SEED_BITS} bits and is not negative: {seed!r}")
    name = "\0".join(map(str, concern)).encode()
    digest = hashlib.blake2b(name, digest_size=8, key=seed.to_bytes(8, "big")).digest()
    return random.Random(int.from_bytes(digest, "big"))
