"""From what a scenario says to the object of a dataclass: values checked by annotation and by the unit in the name.

Everything that is wrong is found at once; each problem names the parameter and what was possible.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

from mmesim.core.policy import Policy
from mmesim.errors import alternatives, shown
from mmesim.policies.errors import PolicyError
from mmesim.policies.parameters import Parameter, Unit, parameters, type_text, unit_of

Built = TypeVar("Built")
Key = TypeVar("Key")
Make = Callable[[type[Policy], str, Mapping[str, object]], Policy]
"""Makes the policy that a parameter names (a wrapper's inner one): base class, name, parameters as written."""


def build(cls: type[Built], given: Mapping[str, object], make: Make, path: str = "") -> Built:
    """An object of a dataclass from parameters as written. Raises PolicyError with everything that is wrong."""
    known = parameters(cls)
    by_name = {**{p.name: p for p in known}, **{p.field: p for p in known}}
    values: dict[str, Any] = {}
    problems = []
    for name, value in given.items():
        here = f"{path}{name}"
        try:
            parameter = _find(cls, name, by_name, known)
            if parameter.field in values:
                raise PolicyError(f"{parameter.name} is given twice", f"write {parameter.name} only")
            values[parameter.field] = read(value, parameter.annotation, parameter.field, make, here)
        except PolicyError as error:
            problems += [PolicyError(error.message, error.hint, error.param or here), *error.more]
    written = {by_name[name].field for name in given if name in by_name}
    problems += [PolicyError(f"{p.name} is missing", _hint(known), f"{path}{p.name}") for p in known
                 if p.required and p.field not in written]
    return _construct(cls, values, known, path, problems)


def read(value: object, annotation: Any, name: str, make: Make, path: str = "") -> Any:
    """A value as written, for a field of this annotation and name. Raises PolicyError."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        inner = [kind for kind in arguments if kind is not types.NoneType]
        return None if value is None and len(inner) < len(arguments) else read(value, inner[0], name, make, path)
    if origin is Literal:
        if value in arguments and isinstance(value, str):
            return value
        raise PolicyError(f"{shown(value)} is not possible", alternatives(str(value), arguments), path)
    if origin in (tuple, list, Sequence):
        return (list if origin is list else tuple)(_items(value, arguments[0], name, make, path))
    if origin in (dict, Mapping):
        return _entries(value, arguments[1], name, make, path)
    if isinstance(annotation, type) and issubclass(annotation, Policy):
        return _inner(value, annotation, make, path)
    if isinstance(annotation, type) and is_dataclass(annotation):
        if not isinstance(value, Mapping):
            raise PolicyError(f"{shown(value)} is not {type_text(annotation, name)}", "write {name: value, …}", path)
        return build(annotation, value, make, f"{path}.")
    return _scalar(value, annotation, name, path)


def _inner(value: object, base: type[Policy], make: Make, path: str) -> Policy:
    """The policy that a parameter names: ``lru`` or ``{use: lru, …}``."""
    written = {"use": value} if isinstance(value, str) else value
    if not isinstance(written, Mapping) or not isinstance(written.get("use"), str):
        raise PolicyError(f"{shown(value)} is not a policy", "write its name, or {use: name, …}", path)
    try:
        return make(base, written["use"], {name: one for name, one in written.items() if name != "use"})
    except PolicyError as error:
        problems = [PolicyError(one.message, one.hint, f"{path}.{one.param}".rstrip("."))
                    for one in (error, *error.more)]
        raise PolicyError(problems[0].message, problems[0].hint, problems[0].param, tuple(problems[1:])) from error


def _items(value: object, annotation: Any, name: str, make: Make, path: str) -> list[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise PolicyError(f"{shown(value)} is not a list", f"write [{type_text(annotation, name)}, …]", path)
    return [*_each(enumerate(value), annotation, name, make, path).values()]


def _entries(value: object, annotation: Any, name: str, make: Make, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise PolicyError(f"{shown(value)} is not a mapping", f"write {{name: {type_text(annotation, name)}, …}}", path)
    return _each(((str(key), item) for key, item in value.items()), annotation, name, make, path)


def _each(items: Iterable[tuple[Key, object]], annotation: Any, name: str, make: Make,
          path: str) -> dict[Key, Any]:
    """Every item read; all that is wrong in them at once."""
    values: dict[Key, Any] = {}
    problems: list[PolicyError] = []
    for key, item in items:
        try:
            values[key] = read(item, annotation, name, make, f"{path}.{key}")
        except PolicyError as error:
            problems += [error, *error.more]
    _raise_all(problems)
    return values


def _raise_all(problems: Sequence[PolicyError]) -> None:
    """Raises the first of the problems, the others in its `more`; nothing when there are none."""
    if problems:
        first, *more = problems
        raise PolicyError(first.message, first.hint, first.param, tuple(more))


def _scalar(value: object, annotation: Any, name: str, path: str) -> Any:
    """A number, a text or a truth value; a number that needs a unit is refused without one."""
    if annotation not in (int, float, bool, str):
        hint = "annotate it int, float, bool, str, Literal[…], a tuple or dict of these, or a dataclass"
        raise PolicyError(f"parameters of type {annotation} cannot be written in a scenario", hint, path)
    unit = unit_of(name) if annotation in (int, float) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if unit is not None and isinstance(value, str):
        value = _quantity(value, unit, path)
    elif unit is not None and unit.written and is_number and value:
        raise PolicyError(f"{shown(value)} has no unit", f"write {value}{unit.written} if you mean that", path)
    elif annotation is float and is_number:
        value = float(cast(float, value))
    if annotation is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not annotation:
        raise PolicyError(f"{shown(value)} is not possible", f"write: {type_text(annotation, name)}", path)
    if isinstance(value, float) and not math.isfinite(value):
        raise PolicyError(f"{value} is not possible", "write a finite number", path)
    return value


def _quantity(text: str, unit: Unit, path: str) -> float:
    try:
        return unit.parse(text)
    except ValueError as error:
        what, _, hint = str(error).partition(": ")
        raise PolicyError(what, hint, path) from None


def _find(cls: type, name: str, by_name: Mapping[str, Parameter], known: Sequence[Parameter]) -> Parameter:
    if name in by_name:
        return by_name[name]
    near = alternatives(name, [p.name for p in known]).partition("? ")
    guess = f"{near[0]}? " if near[1] else ""
    raise PolicyError(f"{_called(cls)} has no parameter {name!r}", guess + _hint(known))


def _called(cls: type) -> str:
    return getattr(cls, "name", "") or cls.__name__


def _hint(known: Sequence[Parameter]) -> str:
    listed = ", ".join(f"{p.name} ({p.default_text})" for p in known)
    return f"parameters and defaults: {listed}" if listed else "it has no parameters"


def _construct(cls: type[Built], values: dict[str, Any], known: Sequence[Parameter], path: str,
               problems: list[PolicyError]) -> Built:
    """The object, when nothing was wrong and its own `__post_init__` agrees."""
    _raise_all(problems)
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        word = str(error).partition(" ")[0]
        about = path + word if any(p.name == word for p in known) else path.rstrip(".")
        raise PolicyError(str(error), _hint(known), about) from error
