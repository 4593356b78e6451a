"""What happened to each request, written to a file as it happens: 170 bytes and a microsecond each, counted afterwards.

Counting while requests are sent would make the sender late.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from mmesim.core.types import NONE, Failure
from mmesim.dataplane.counters import N_REASONS, REQUEST_RECORD, Reason
from mmesim.live.load.answers import Outcome
from mmesim.live.tally import Records

LOGGED = np.dtype([("record", REQUEST_RECORD), ("lag_ns", np.int64)])
"""`lag_ns`: from when it was to be sent to when it was."""
_LAYOUT = struct.Struct(f"<q8i3q{N_REASONS}qq")
assert _LAYOUT.size == LOGGED.itemsize
CHUNK = 1 << 16
KEPT_TEXTS = 200
"""Different texts of errors that are told apart."""


@dataclass(slots=True)
class Invocation:
    """One request from its issue to its end. Times in ns from the start of the run."""

    serial: int
    model: int
    items: int
    user: int
    attempt: int
    issued_ns: int
    """When it was to be sent."""
    first_issued_ns: int
    sent_ns: int = -1
    """When it was; -1: not yet."""


class RequestLog:
    """The log of one run."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.ended = 0
        self.failed = 0
        self.errors: Counter[tuple[str, int, str]] = Counter()
        """(failure, status, text) -> how often."""
        self.untold_tiers = 0
        """Answers of which nobody told whether the model was there."""
        self.untold_times = 0

    def end(self, one: Invocation, outcome: Outcome, ended_ns: int) -> None:
        """A request has ended so."""
        latency_ns = ended_ns - one.issued_ns
        parts = [0] * N_REASONS
        if outcome.failure is Failure.NONE:
            wait_ns = min(max(0, outcome.wait_ns), latency_ns)
            server_ns = min(max(0, outcome.server_ns), latency_ns - wait_ns)
            parts[Reason.LOAD], parts[Reason.COMPUTE] = wait_ns, server_ns
            parts[Reason.OVERHEAD] = latency_ns - wait_ns - server_ns if outcome.server_ns >= 0 else 0
            if outcome.server_ns < 0:
                parts[Reason.COMPUTE] = latency_ns - wait_ns
                self.untold_times += 1
            self.untold_tiers += outcome.tier < 0
        else:
            self._note(outcome)
        self.ended += 1
        self._write(one, outcome.instance, outcome.tier, outcome.failure, latency_ns, parts)

    def wait(self, one: Invocation) -> None:
        """A request has not ended when the run does."""
        self._write(one, NONE, NONE, Failure.NONE, 0, [0] * N_REASONS)

    def _note(self, outcome: Outcome) -> None:
        self.failed += 1
        error = (outcome.failure.name.lower(), outcome.status, outcome.text)
        if error in self.errors or len(self.errors) < KEPT_TEXTS:
            self.errors[error] += 1
        else:
            self.errors[*error[:2], "(other texts)"] += 1

    def _write(self, one: Invocation, instance: int, tier: int, failure: int, latency_ns: int,
               parts: list[int]) -> None:
        lag_ns = one.sent_ns - one.issued_ns if one.sent_ns >= 0 else -1
        self._file.write(_LAYOUT.pack(
            one.serial, one.attempt, one.user, one.model, instance, tier, failure, one.items, 0, one.issued_ns,
            one.first_issued_ns, latency_ns, *parts, lag_ns))


def read_log(path: Path, first: int, n: int) -> Iterator[Records]:
    """LOGGED rows `first` to `first` + `n` of a finished log, in chunks."""
    with path.open("rb") as file:
        file.seek(first * LOGGED.itemsize)
        while n > 0 and len(rows := np.fromfile(file, LOGGED, min(n, CHUNK))):
            n -= len(rows)
            yield rows
