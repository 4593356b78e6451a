"""Events, actions, decisions and requests as JSON and back.

One step is one line: ``{"t":<ns>,"event":{"ModelMissed":{"model":3,"instance":-1}},"actions":[…]}``, and
``"decisions":[…]`` where policies told how they chose. Writing must be cheap, because a journal is on by default: for
every class a function of its own is made once from its fields. JSON has no infinity: a policy's key that is infinite is
written ``1e999``, which readers take for it, and one that is not a number ``null``.

The journal of a live endpoint has a line for each thing that a request does besides: ``{"t":<ns>,"arrive":[serial,
model]}``, ``sent`` (serial, instance, tier, held), ``refused`` (serial, failure), ``depart`` (serial, failure), and
``{"t":<ns>,"lost":[instance,"reason"]}``. Its last line, if it was closed, is ``{"end":<lines before it>}``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, get_args, get_type_hints

from mmesim.core.actions import Action
from mmesim.core.decisions import Decision
from mmesim.core.events import Event
from mmesim.core.types import Failure, ModelSpec

SCHEMA = 3
"""Version of the journal's layout; the header carries it."""
END = '{"end":'
READABLE = (2, 3)
"""Layouts that can be read: 3 has more kinds of lines and fields than 2, and the same meaning of the others."""
DECISIONS = ',"decisions":'
"""What stands before the decisions of a step, and nowhere else: in a text its quotes would be escaped."""
KNOWN: dict[str, type] = {kind.__name__: kind for kind in
                          (*get_args(Event), *get_args(Action), *get_args(Decision))}
_text = json.encoder.encode_basestring_ascii
_plain = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_mapping = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def _spec(spec: ModelSpec) -> str:
    return _plain(asdict(spec))


def _columns(columns: Mapping[str, Sequence[float]]) -> str:
    """Columns in the order given: the policy's own keys come first."""
    try:
        return _plain(columns)
    except ValueError:
        slots = [f"{_text(name)}:[{','.join(map(_number, values))}]" for name, values in columns.items()]
        return f"{{{','.join(slots)}}}"


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "null" if math.isnan(value) else "1e999" if value > 0 else "-1e999"


_WRITE: dict[Any, str] = {int: "{v.%s}", Failure: "{v.%s:d}", str: "{text(v.%s)}", bool: "{truth[v.%s]}",
                          tuple[int, ...]: "{plain(v.%s)}",
                          ModelSpec: "{spec(v.%s)}", Mapping[str, Sequence[float]]: "{columns(v.%s)}"}
"""How a field of a type is written, as a piece of an f-string; anything else is a mapping."""
_HELPERS = {"text": _text, "truth": ("false", "true"), "plain": _plain, "columns": _columns, "mapping": _mapping,
            "spec": _spec}


def _writer(kind: type) -> Callable[[Any], str]:
    """A function from a value of this dataclass to its JSON, compiled once, as dataclasses compile their methods."""
    hints = get_type_hints(kind)
    slots = ",".join(f'"{field.name}":' + _WRITE.get(hints[field.name], "{mapping(v.%s)}") % field.name
                     for field in fields(kind))
    writer: Callable[[Any], str] = eval(f"lambda v: f'{{{{\"{kind.__name__}\":{{{{{slots}}}}}}}}}'", _HELPERS)
    return writer


_WRITERS = {kind: _writer(kind) for kind in KNOWN.values()}


def step_to_json(now_ns: int, event: Event, actions: tuple[Action, ...], decisions: tuple[Decision, ...] = ()) -> str:
    """One line, without its newline."""
    writers = _WRITERS
    done = ",".join([writers[type(action)](action) for action in actions]) if actions else ""
    why = f'{DECISIONS}[{",".join([writers[type(one)](one) for one in decisions])}]' if decisions else ""
    return f'{{"t":{now_ns},"event":{writers[type(event)](event)},"actions":[{done}]{why}}}'


class Lines:
    """Writes each thing that happens at a live endpoint as a line, without its newline, to `put`; what is what stands
    in :class:`mmesim.live.machine.Sink`."""

    def __init__(self, put: Callable[[str], object]) -> None:
        self.put = put

    def arrived(self, now_ns: int, serial: int, model: int) -> None:
        """A request."""
        self.put(f'{{"t":{now_ns},"arrive":[{serial},{model}]}}')

    def sent(self, now_ns: int, serial: int, instance: int, tier: int, held: bool) -> None:
        """It was counted to this copy."""
        self.put(f'{{"t":{now_ns},"sent":[{serial},{instance},{tier:d},{"true" if held else "false"}]}}')

    def refused(self, now_ns: int, serial: int, failure: int) -> None:
        """It was not."""
        self.put(f'{{"t":{now_ns},"refused":[{serial},{failure:d}]}}')

    def departed(self, now_ns: int, serial: int, failure: int) -> None:
        """A request that was sent is over."""
        self.put(f'{{"t":{now_ns},"depart":[{serial},{failure:d}]}}')

    def lost(self, now_ns: int, instance: int, reason: str) -> None:
        """An instance is gone, with all requests there."""
        self.put(f'{{"t":{now_ns},"lost":[{instance},{_text(reason)}]}}')

    def step(self, now_ns: int, event: Event, actions: tuple[Action, ...],
             decisions: tuple[Decision, ...] = ()) -> None:
        """A step of the controller."""
        self.put(step_to_json(now_ns, event, actions, decisions))


def value_from_json(data: dict[str, dict[str, Any]]) -> Any:
    """The event, action or decision that was written. Raises KeyError, TypeError or ValueError when it is none."""
    (name, values), = data.items()
    kind = KNOWN[name]
    if "failure" in values:
        values = {**values, "failure": Failure(values["failure"])}
    if "spec" in values:
        values = {**values, "spec": ModelSpec(**values["spec"])}
    if "columns" in values:
        columns = {name: [math.nan if value is None else value for value in column]
                   for name, column in values["columns"].items()}
        values = {**values, "victims": tuple(values["victims"]), "held_back": tuple(values["held_back"]),
                  "columns": columns}
    return kind(**values)
