"""What an answer means: how the request ended, where it was served, and where its time went.

A gateway of ours says it in headers. Others say it by status and text: the SageMaker Runtime API (ValidationError 400,
ModelError 424 with the model's own status, ModelNotReadyException 429, ServiceUnavailable 503; API reference,
InvokeEndpoint) and Triton's v2 protocol (400 or 404 for an unknown model, 503 when a queue is full;
triton-inference-server src/http_server.cc and core src/dynamic_batch_scheduler.cc, whose texts are looked for below).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmesim.core.types import NONE, Failure, Tier
from mmesim.live.load.http import Answer
from mmesim.units import NS_PER_MS

INSTANCE, TIER, WAIT, SERVER, FAILURE = (
    b"x-mmesim-instance", b"x-mmesim-tier", b"x-mmesim-wait-ms", b"x-mmesim-server-ms", b"x-mmesim-failure")
WANTED = frozenset((INSTANCE, TIER, WAIT, SERVER, FAILURE))
_TIERS = {tier.name.lower().encode(): tier for tier in Tier}
_FAILURES = {failure.name.lower().encode(): failure for failure in Failure}
_BY_STATUS = {404: Failure.NO_SUCH_MODEL, 408: Failure.TIMEOUT, 429: Failure.MODEL_NOT_READY, 504: Failure.TIMEOUT}
_BY_TEXT = ((b"maximum queue size", Failure.QUEUE_FULL), (b"queue is full", Failure.QUEUE_FULL),
            (b"unknown model", Failure.NO_SUCH_MODEL), (b"no such model", Failure.NO_SUCH_MODEL),
            (b"could not find", Failure.NO_SUCH_MODEL), (b"could not be loaded", Failure.LOAD_FAILED),
            (b"failed to load", Failure.LOAD_FAILED), (b"being loaded", Failure.MODEL_NOT_READY),
            (b"timed out", Failure.TIMEOUT), (b"timeout", Failure.TIMEOUT), (b"slow down", Failure.THROTTLED),
            (b"throttl", Failure.THROTTLED), (b"no server", Failure.INSTANCE_LOST))
"""What a text has in it; the first that is found."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended, as far as its sender can know. Times of -1 and an instance of NONE were not told."""

    failure: Failure = Failure.NONE
    status: int = 200
    """HTTP status; 0: there was no answer."""
    text: str = ""
    """Of an error."""
    tier: int = NONE
    instance: int = NONE
    wait_ns: int = -1
    """At the gateway, until it was sent to a server."""
    server_ns: int = -1
    """At the server."""


def outcome_of(answer: Answer) -> Outcome:
    """What an answer means."""
    told = answer.headers
    failure = Failure.NONE if answer.status < 300 else failure_of(answer.status, answer.text, told)
    if failure is Failure.NONE and not told:
        return PLAIN
    text = answer.text.decode(errors="replace") if failure else ""
    return Outcome(failure, answer.status, text, _TIERS.get(told.get(TIER, b""), NONE), _instance(told),
                   _ns(told, WAIT), _ns(told, SERVER))


PLAIN = Outcome()
"""An answer about which nothing else was told."""


def failure_of(status: int, text: bytes, told: Mapping[bytes, bytes]) -> Failure:
    """The kind of an error: as it was told, else by its text, else by its status; else the model's own."""
    if (named := _FAILURES.get(told.get(FAILURE, b""))) is not None:
        return named
    low = text.lower()
    found = next((failure for part, failure in _BY_TEXT if part in low), None)
    if found is not None:
        return found
    by_status = Failure.INSTANCE_LOST if status in (502, 503) else Failure.MODEL_ERROR
    return _BY_STATUS.get(status, by_status)


def _instance(told: Mapping[bytes, bytes]) -> int:
    given = told.get(INSTANCE, b"")
    return int(given) if given.isdigit() else NONE


def _ns(told: Mapping[bytes, bytes], name: bytes) -> int:
    try:
        return max(0, round(float(told[name]) * NS_PER_MS))
    except (KeyError, ValueError, OverflowError):
        return -1
