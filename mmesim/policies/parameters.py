"""A policy's parameters: the fields of its dataclass, and how a scenario writes them.

A field's name ends in its unit, and a scenario writes the quantity with one: `scale_out_cooldown_s: float` is written
``scale_out_cooldown: 300s`` (the suffix ``_s`` or ``_ns`` is left out, the full name is understood too),
`keep_bytes: int` is written ``keep_bytes: 100MiB``. A trailing underscore, for Python's own words, is left out too.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mmesim.core.policy import Policy
from mmesim.errors import shown
from mmesim.policies.errors import PolicyError
from mmesim.units import ns, parse_bytes, parse_duration_s, parse_fraction, parse_rate_bps


@dataclass(frozen=True)
class Parameter:
    """One parameter of a policy."""

    name: str
    """As a scenario writes it."""
    field: str
    """As the dataclass calls it."""
    annotation: Any
    default: object
    """`dataclasses.MISSING` when it must be given."""
    doc: str
    """The string under the field; empty without one."""

    @property
    def required(self) -> bool:
        """True when it must be given."""
        return self.default is MISSING

    @property
    def type(self) -> str:
        """What may be written, in a few words."""
        return type_text(self.annotation, self.field)

    @property
    def inner(self) -> tuple[Parameter, ...]:
        """Parameters of one item, for a list of mappings such as `steps`; empty for anything else."""
        item = next((kind for kind in get_args(self.annotation) if isinstance(kind, type) and is_dataclass(kind)), None)
        return () if item is None else parameters(item)

    @property
    def default_text(self) -> str:
        """The default as a scenario would write it; ``required`` without one."""
        return "required" if self.required else _written(self.default, unit_of(self.field))


@dataclass(frozen=True)
class Unit:
    """A unit in a field's name: how text becomes the number, and how a person would write it."""

    suffix: str
    what: str
    parse: Callable[[str], float]
    written: str
    """Unit in which a number of the field is shown; empty: none is needed."""
    hidden: bool = False
    """True: the suffix is left out in a scenario."""


UNITS = (Unit("_s", "duration", parse_duration_s, "s", hidden=True),
          Unit("_ns", "duration", lambda text: ns(parse_duration_s(text)), "ns", hidden=True),
          Unit("_bytes", "size", parse_bytes, "B"),
          Unit("_bps", "data rate", parse_rate_bps, "B/s"),
          Unit("_fraction", "fraction", parse_fraction, ""))


def parameters(cls: type) -> tuple[Parameter, ...]:
    """The parameters of a dataclass, in its order. Raises PolicyError when an annotation cannot be understood."""
    assert is_dataclass(cls)
    try:
        hints = get_type_hints(cls)
    except Exception as error:
        hint = "annotate parameters with names that the module itself knows"
        raise PolicyError(f"the annotations of {cls.__name__} cannot be read: {error}", hint) from error
    docs = _field_docs(cls)
    return tuple(Parameter(yaml_name(own.name), own.name, hints[own.name], _default(own), docs.get(own.name, ""))
                 for own in fields(cls) if own.init)


def yaml_name(field_name: str) -> str:
    """The name of a field as a scenario writes it."""
    unit = unit_of(field_name)
    name = field_name.removesuffix(unit.suffix) if unit is not None and unit.hidden else field_name
    return name.rstrip("_")


def type_text(annotation: Any, name: str) -> str:
    """What may be written for an annotation, in a few words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        inner = [kind for kind in arguments if kind is not types.NoneType]
        return " or ".join([type_text(inner[0], name), *(["null"] if len(inner) < len(arguments) else [])])
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (tuple, list, Sequence):
        return f"list of {type_text(arguments[0], name)}"
    if origin in (dict, Mapping):
        return f"mapping of names to {type_text(arguments[1], name)}"
    if isinstance(annotation, type) and issubclass(annotation, Policy):
        return "a policy: its name, or {use: name, …}"
    if isinstance(annotation, type) and is_dataclass(annotation):
        return "{" + ", ".join(yaml_name(field.name) for field in fields(annotation)) + "}"
    unit = unit_of(name)
    if unit is not None and annotation in (int, float):
        return unit.what
    simple = {int: "whole number", float: "number", bool: "true or false", str: "text"}
    return simple.get(annotation, str(annotation))


def unit_of(field_name: str) -> Unit | None:
    """The unit that a field's name ends in; None without one."""
    return next((unit for unit in UNITS if field_name.endswith(unit.suffix)), None)


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _written(value: object, unit: Unit | None) -> str:
    """A default as a scenario would write it."""
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, Policy):
        return value.name or type(value).__name__
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.12g}{unit.written if unit is not None and value else ''}"
    return shown(value)


@cache
def _field_docs(cls: type) -> dict[str, str]:
    """The strings that stand under fields, those of base classes included; nothing where there is no source."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):
            continue
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and \
                    isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                docs[field.target.id] = inspect.cleandoc(str(text.value.value)).replace("\n", " ")
    return docs
