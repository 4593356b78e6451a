"""What the lines of a journal say, as values: steps of the controller, and in a live journal what requests did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from mmesim.core.actions import Action
from mmesim.core.decisions import Decision
from mmesim.core.events import Event
from mmesim.core.types import Failure, Tier
from mmesim.journal.text import value_from_json


@dataclass(frozen=True, slots=True)
class Step:
    """What the controller was told at `now_ns`, and what it answered."""

    now_ns: int
    event: Event
    actions: tuple[Action, ...]
    decisions: tuple[Decision, ...] = ()
    """How policies came to the actions, where they told."""


class Arrived(NamedTuple):
    """A request."""

    now_ns: int
    serial: int
    model: int


class Sent(NamedTuple):
    """It was counted to a copy."""

    now_ns: int
    serial: int
    instance: int
    tier: Tier
    held: bool


class Refused(NamedTuple):
    """It was not."""

    now_ns: int
    serial: int
    failure: Failure


class Departed(NamedTuple):
    """A request that was sent is over."""

    now_ns: int
    serial: int
    failure: Failure


class Lost(NamedTuple):
    """An instance is gone, with all requests there."""

    now_ns: int
    instance: int
    reason: str


Entry: TypeAlias = Step | Arrived | Sent | Refused | Departed | Lost
_OF_REQUESTS: dict[str, Callable[[int, list[Any]], Entry]] = {
    "arrive": lambda t, values: Arrived(t, *values),
    "sent": lambda t, values: Sent(t, values[0], values[1], Tier(values[2]), values[3]),
    "refused": lambda t, values: Refused(t, values[0], Failure(values[1])),
    "depart": lambda t, values: Departed(t, values[0], Failure(values[1])),
    "lost": lambda t, values: Lost(t, *values)}


def entry_from_json(data: dict[str, Any]) -> Entry:
    """What a line says. Raises KeyError, TypeError, ValueError or IndexError when it says nothing that is known."""
    if "event" in data:
        return Step(data["t"], value_from_json(data["event"]), tuple(map(value_from_json, data["actions"])),
                    tuple(map(value_from_json, data.get("decisions", ()))))
    (kind,) = [name for name in data if name != "t"]
    return _OF_REQUESTS[kind](data["t"], data[kind])
