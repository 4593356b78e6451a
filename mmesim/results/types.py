"""What the world tells the recorder besides counters: levels at a boundary, and the lives of instances."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmesim.core.actions import Action
from mmesim.core.decisions import Decision
from mmesim.core.events import Event


class Phase(IntEnum):
    """Where the instance in a slot stands; AWS bills all but NONE."""

    NONE = 0
    PROVISIONING = 1
    SERVING = 2
    DRAINING = 3


@dataclass(frozen=True, slots=True)
class Gauges:
    """Levels at `now_ns`; arrays have one entry per instance slot."""

    now_ns: int
    device_used_bytes: NDArray[np.int64]
    """Device memory in use, an empty server's included; zeros on a CPU endpoint."""
    host_used_bytes: NDArray[np.int64]
    disk_used_bytes: NDArray[np.int64]
    ready: NDArray[np.int64]
    """READY copies (LoadedModelCount)."""
    phase: NDArray[np.int64]
    """Phase of the instance in each slot."""
    running: int
    """Instances in service, draining ones not counted."""
    desired: int
    """Instances the endpoint should have."""
    network_bytes: int
    """Bytes downloaded from S3 since the start."""


@dataclass(frozen=True, slots=True)
class InstanceLife:
    """One instance from launch to end. Slots are reused, numbers are not."""

    number: int
    slot: int
    zone: int
    launched_ns: int
    """Billed from here."""
    joined_ns: int | None
    """In service from here; None: not yet."""
    ended_ns: int | None
    """Terminated or lost; None: still there when the run ended."""
    reason: str
    """Why it ended; empty while it lives."""


class StepSink(Protocol):
    """Something that wants every controller step, e.g. the journal."""

    def step(self, now_ns: int, event: Event, actions: tuple[Action, ...],
             decisions: tuple[Decision, ...] = ()) -> None: ...
    def close(self) -> None: ...
