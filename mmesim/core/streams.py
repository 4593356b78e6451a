"""Named random streams: every random number of a run comes from one seed, by name.

A stream is a counter-based Philox generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
'11) keyed by the SHA-256 of seed and names. Two streams with different names are independent, so a new
consumer never shifts the numbers of an old one, and the same name gives the same numbers in any process, on
any machine and for any ``PYTHONHASHSEED``.
"""

from __future__ import annotations

from hashlib import sha256

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """The generator called `names`, e.g. ``"arrivals"`` or ``"client", 17``, of a run with this `seed`."""
    return np.random.Generator(np.random.Philox(key=_key(seed, *names)))


def _key(*parts: str | int) -> int:
    """128 bits from the parts; text and number are told apart, so ``"1"`` and ``1`` are two names."""
    text = "\0".join(part if isinstance(part, str) else f"#{int(part)}" for part in parts)
    return int.from_bytes(sha256(text.encode()).digest()[:16], "little")
