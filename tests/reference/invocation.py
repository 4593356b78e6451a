"""One invocation, and where its time went."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from mmesim.core.types import NONE
from mmesim.dataplane.counters import N_REASONS, Reason
from reference.agenda import Entry


class Stage(Enum):
    """How far an invocation has come."""

    PENDING = "not sent yet"
    HELD = "waits at its copy"
    SERVED = "front end, host stage, batch queue or batch"
    ENDED = "gone"


@dataclass(eq=False)
class Invocation:
    """One attempt of one request."""

    model: int
    items: int
    work_q16: int
    user: int = NONE
    think_ns: int = 0
    attempt: int = 1
    first_issued_ns: int = NONE
    serial: int = NONE
    issued_ns: int = NONE
    deadline: Entry | None = None
    wished: bool = False
    chosen: int = NONE
    """Instance a blind router has chosen."""
    stage: Stage = Stage.PENDING
    abandoned: bool = False
    """Its caller has gone; it only takes up room."""
    instance: int = NONE
    tier: int = NONE
    batch_items: int = 0
    since_ns: int = 0
    """When the stage it is in began (held, front end, host stage, batch queue, batch)."""
    full_ns: int = 0
    """`Copy.full_ns` when it entered the batch queue."""
    reasons_ns: list[int] = field(default_factory=lambda: [0] * N_REASONS)

    def again(self) -> Invocation:
        """The next attempt of the same request."""
        return Invocation(self.model, self.items, self.work_q16, self.user, self.think_ns, self.attempt + 1,
                          self.first_issued_ns)

    def spend(self, reason: Reason, time_ns: int) -> None:
        """Account time to a reason."""
        assert time_ns >= 0, f"{reason.name}: {time_ns} ns"
        self.reasons_ns[reason] += time_ns

    def explain_hold(self, row: np.void, now_ns: int) -> None:
        """Split the time from `since_ns` to now by the marks of the copy's cold start."""
        at_ns = self.since_ns
        for reason, mark in ((Reason.DOWNLOAD, "downloaded_ns"), (Reason.EXTRACT, "extracted_ns"),
                             (Reason.ROOM, "load_started_ns"), (Reason.LOAD, "ready_since_ns")):
            until_ns = min(max(at_ns, int(row[mark])), now_ns)
            self.spend(reason, until_ns - at_ns)
            at_ns = until_ns
        self.spend(Reason.STALL, now_ns - at_ns)
