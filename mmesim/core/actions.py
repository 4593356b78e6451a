"""What the controller wants done, in the imperative. Each action that starts work is answered by exactly one event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mmesim.core.types import Failure


@dataclass(frozen=True, slots=True)
class StartDownload:
    """Fetch and extract the archive. Answer: DownloadFinished or DownloadFailed."""

    instance: int
    model: int


@dataclass(frozen=True, slots=True)
class LoadModel:
    """Load from the disk into memory. Answer: LoadFinished or LoadFailed."""

    instance: int
    model: int


@dataclass(frozen=True, slots=True)
class UnloadModel:
    """Unload from memory. Answer: UnloadFinished."""

    instance: int
    model: int
    reason: str
    """Why it leaves: ``evicted for <model>``, ``idle``, ``out of memory``, ``prewarm``."""


@dataclass(frozen=True, slots=True)
class DeleteArtifact:
    """Delete the extracted files; done at once, no answer."""

    instance: int
    model: int
    reason: str


@dataclass(frozen=True, slots=True)
class Dispatch:
    """The copy is READY: send it the requests that waited for it."""

    instance: int
    model: int


@dataclass(frozen=True, slots=True)
class FailWaiters:
    """The requests that wait for this copy get an error."""

    instance: int
    model: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class Reject:
    """The request whose miss was just reported gets an error."""

    model: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class Stall:
    """Admission of new requests to this instance stops (True) or goes on (False)."""

    instance: int
    stalled: bool


@dataclass(frozen=True, slots=True)
class SetDesiredInstances:
    """The fleet should count so many instances. Answers: InstanceJoined, as each comes into service."""

    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class DrainInstance:
    """Send no more requests there. Answer: InstanceDrained."""

    instance: int
    reason: str


@dataclass(frozen=True, slots=True)
class TerminateInstance:
    """The instance ends; what is still in flight there is lost. No answer."""

    instance: int
    reason: str


Action: TypeAlias = (StartDownload | LoadModel | UnloadModel | DeleteArtifact | Dispatch | FailWaiters | Reject | Stall
                     | SetDesiredInstances | DrainInstance | TerminateInstance)
