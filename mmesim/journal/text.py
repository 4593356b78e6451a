"""Events, actions and decisions as JSON and back, by the fields of their dataclasses.

One step is one line: ``{"t":<ns>,"event":{"ModelMissed":{"model":3,"instance":-1}},"actions":[…]}``, and
``"decisions":[…]`` where policies told how they chose. Writing must be
cheap, because a journal is on by default: for every class a function of its own is made once from its fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from mmesim.core.actions import Action
from mmesim.core.decisions import Decision
from mmesim.core.events import Event
from mmesim.core.types import Failure

SCHEMA = 2
"""Version of the journal's layout; the header carries it."""
KNOWN: dict[str, type] = {kind.__name__: kind for kind in
                          (*get_args(Event), *get_args(Action), *get_args(Decision))}
_HELPERS = {"text": json.encoder.encode_basestring_ascii, "truth": ("false", "true"),
            "mapping": json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode}
_WRITE = {int: "{v.%s}", Failure: "{v.%s:d}", str: "{text(v.%s)}", bool: "{truth[v.%s]}"}
"""How a field of a type is written, as a piece of an f-string; anything else is a mapping."""


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
    why = f',"decisions":[{",".join([writers[type(one)](one) for one in decisions])}]' if decisions else ""
    return f'{{"t":{now_ns},"event":{writers[type(event)](event)},"actions":[{done}]{why}}}'


def value_from_json(data: dict[str, dict[str, Any]]) -> Any:
    """The event or action that was written. Raises KeyError, TypeError or ValueError when it is none."""
    (name, values), = data.items()
    kind = KNOWN[name]
    if "failure" in values:
        values = {**values, "failure": Failure(values["failure"])}
    if "columns" in values:
        columns = {name: tuple(column) for name, column in values["columns"].items()}
        values = {**values, "victims": tuple(values["victims"]), "columns": columns}
    return kind(**values)
