"""Events and actions as JSON and back, by the fields of their dataclasses.

One step is one line: ``{"t":<ns>,"event":{"ModelMissed":{"model":3,"instance":-1}},"actions":[…]}``. Writing must be
cheap, because a journal is on by default: for every class a template and a getter of its fields are made once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any, get_args, get_type_hints

from mmesim.core.actions import Action
from mmesim.core.events import Event
from mmesim.core.types import Failure

SCHEMA = 1
"""Version of the journal's layout; the header carries it."""
KNOWN: dict[str, type] = {kind.__name__: kind for kind in (*get_args(Event), *get_args(Action))}
_quoted = json.encoder.encode_basestring_ascii
_mapping = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_WRITE: dict[Any, Callable[[Any], str] | None] = {int: None, Failure: None, str: _quoted,
                                                  bool: lambda value: "true" if value else "false"}
"""How a field of a type is written; None: as an integer. Anything else is a mapping."""


def _writer(kind: type) -> Callable[[Any], str]:
    """A function from a value of this dataclass to its JSON."""
    names = [field.name for field in fields(kind)]
    hints = get_type_hints(kind)
    convert = [_WRITE.get(hints[name], _mapping) for name in names]
    slots = ",".join(f'"{name}":{"%d" if write is None else "%s"}' for name, write in zip(names, convert, strict=True))
    template = f'{{"{kind.__name__}":{{{slots}}}}}'
    if not names:
        return lambda value: template
    get = attrgetter(*names)
    if not any(convert):
        return lambda value: template % get(value)
    single = len(names) == 1

    def write(value: Any) -> str:
        values = (get(value),) if single else get(value)
        return template % tuple([v if to is None else to(v) for to, v in zip(convert, values, strict=True)])

    return write


_WRITERS = {kind: _writer(kind) for kind in KNOWN.values()}


def step_to_json(now_ns: int, event: Event, actions: tuple[Action, ...]) -> str:
    """One line, without its newline."""
    writers = _WRITERS
    done = ",".join([writers[type(action)](action) for action in actions]) if actions else ""
    return f'{{"t":{now_ns},"event":{writers[type(event)](event)},"actions":[{done}]}}'


def value_from_json(data: dict[str, dict[str, Any]]) -> Any:
    """The event or action that was written. Raises KeyError, TypeError or ValueError when it is none."""
    (name, values), = data.items()
    kind = KNOWN[name]
    if "failure" in values:
        values = {**values, "failure": Failure(values["failure"])}
    return kind(**values)
