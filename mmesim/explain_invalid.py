"""What pydantic found wrong, in the words of the person who wrote the file.

Pydantic names the places of its errors with union tags and type names in between, and its messages speak of
inputs and types. Here each error becomes (setting path, message with the value in it, what was possible).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mmesim.errors import alternatives, shown

Explained = tuple[tuple[str | int, ...], str, str]

_LIMITS = {"greater_than": ("gt", "more than"), "greater_than_equal": ("ge", "at least"),
           "less_than": ("lt", "less than"), "less_than_equal": ("le", "at most")}
_LIST = "a list: [..] or lines that start with `- `"
_MAPPING = "a mapping: {name: value} or indented `name: value` lines"
_KINDS = {"int": "a whole number", "float": "a number", "finite": "a finite number", "bool": "true or false",
          "string": "text (put it in quotes)", "list": _LIST, "tuple": _LIST, "dict": _MAPPING, "model": _MAPPING}


def explain(error: ValidationError, model: type[BaseModel], data: Any) -> Iterator[Explained]:
    """(setting path, message, hint) of each of the errors; `data` is what `model` was given."""
    for item in error.errors(include_url=False):
        if item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]:
            continue  # only because wrong elements are not counted, and those are reported themselves
        yield _written_path(item, data), *_message(item, model)


def _written_path(item: ErrorDetails, data: Any) -> tuple[str | int, ...]:
    """Pydantic's location without the parts that do not stand in the file (union tags, validators)."""
    path: list[str | int] = []
    for part in item["loc"]:
        parts = data if isinstance(data, Mapping) else range(len(data)) if isinstance(data, list) else ()
        if part in parts:
            data = data[part]
            path.append(part)
    if item["type"] == "missing":
        path.append(item["loc"][-1])
    return tuple(path)


def _message(item: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    """(message, hint) of one of pydantic's errors."""
    kind, ctx, value = item["type"], item.get("ctx", {}), shown(item["input"])
    if kind == "extra_forbidden":
        return "unknown setting", alternatives(str(item["loc"][-1]), _fields(model, item["loc"][:-1]))
    if kind == "missing":
        return "must be given", _about(model, item["loc"])
    if kind in {"literal_error", "union_tag_invalid"}:
        known = re.findall(r"'([^']*)'", str(ctx.get("expected") or ctx.get("expected_tags")))
        value = str(ctx.get("tag", item["input"]))
        return f"{shown(value)} is not possible", alternatives(value, known)
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"{value} is out of range", f"write a value of {words} {ctx[key]}"
    if kind in {"too_short", "too_long"}:
        words, least_or_most = ("at least", "min_length") if kind == "too_short" else ("at most", "max_length")
        return f"has {ctx['actual_length']} elements", f"write {words} {ctx[least_or_most]}"
    if kind == "value_error":
        return str(ctx["error"]), ctx.get("hint", "")
    if "hint" in ctx:
        return item["msg"], str(ctx["hint"])
    if kind == "string_pattern_mismatch":
        return f"{value} is not possible", "use letters, digits and . _ - only, a letter or digit first"
    if noun := _KINDS.get(kind.split("_")[0]):
        return f"{value} is not possible", f"write {noun}"
    return f"{value}: {item['msg']}", _about(model, item["loc"])


def _about(model: type[BaseModel], loc: Sequence[str | int]) -> str:
    """The description of the setting at pydantic's location `loc`."""
    setting = _fields(model, loc[:-1]).get(str(loc[-1])) if loc else None
    return (setting.description or "") if setting else ""


def _fields(model: type[BaseModel], loc: Sequence[str | int]) -> dict[str, FieldInfo]:
    """The settings that may stand in the mapping at pydantic's location `loc`, by their names in the file."""
    return _fields_of(_type_at(model, loc))


def _fields_of(annotation: Any) -> dict[str, FieldInfo]:
    if not _is_model(annotation):
        return {}
    return {setting.alias or name: setting for name, setting in annotation.model_fields.items()}


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _type_at(annotation: Any, loc: Sequence[str | int]) -> Any:
    """The settings class that pydantic was filling at `loc`; None when there is none."""
    annotation = _bare(annotation)
    if not loc:
        return annotation
    part, rest = loc[0], loc[1:]
    if _is_model(annotation):
        setting = _fields_of(annotation).get(str(part))
        return _type_at(setting.annotation, rest) if setting else None
    if get_origin(annotation) in (Union, UnionType):
        chosen = [member for member in map(_bare, get_args(annotation)) if part in _tags(member)]
        return _type_at(chosen[0], rest) if chosen else None
    arguments = get_args(annotation)
    return _type_at(arguments[-1 if isinstance(part, str) else 0], rest) if arguments else None


def _bare(annotation: Any) -> Any:
    """Without Annotated, and without the None of an optional setting."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return _bare(members[0]) if len(members) == 1 else annotation
    return annotation


def _tags(member: Any) -> tuple[object, ...]:
    """What pydantic calls this member of a union in a location: its discriminator's literals."""
    if not _is_model(member):
        return ()
    literals = [get_args(field.annotation) for field in member.model_fields.values()
                if get_origin(field.annotation) is Literal]
    return (member.__name__, *(value for values in literals for value in values))
