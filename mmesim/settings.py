"""The vocabulary of settings files: the base class of every settings model, and quantities that carry a unit.

A quantity is written with its unit (``90s``, ``250MB``, ``1.5Gbps``, ``0.1%``) and is a plain number
inside: float seconds, int bytes, float bytes per second, a fraction of one. A bare number where a unit
belongs is refused with the unit to write, because the one who wrote it and the one who reads it may
think of different ones. The JSON Schema of a quantity holds the same rule as a pattern, so that an
editor can check it; dumped, a quantity has its unit again and can be read back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from mmesim.errors import shown
from mmesim.units import (
    BYTE_UNITS,
    DURATION_UNITS,
    RATE_UNITS,
    parse_bytes,
    parse_duration_s,
    parse_fraction,
    parse_rate_bps,
)

MAX_CHARACTERS = 64
_NUMBER = r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_BARE = re.compile(rf"\s*[+-]?{_NUMBER}\s*\Z")


class Settings(BaseModel):
    """A mapping of settings: unknown names are refused, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def wrong(message: str, hint: str) -> PydanticCustomError:
    """The error a validator raises: what is wrong, with the value in it, and what was possible."""
    return PydanticCustomError("wrong", "{message}", {"message": message, "hint": hint})


@dataclass(frozen=True)
class _Quantity:
    """How one kind of quantity is read: text with a unit to a number between 0 and `limit`."""

    what: str
    unit: str
    """The unit of the number inside; empty for a fraction, which needs none."""
    limit: str
    """The most that is accepted, as it would be written."""
    example: str
    parse: Callable[[str], float]

    def read(self, value: Any) -> float:
        """The number inside. Raises the error that says which unit to write."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise wrong(f"{shown(value)} is not a {self.what}", f"write {self.example}")
        number = self._of_text(value) if isinstance(value, str) else self._of_number(value)
        if not 0 <= number <= self.parse(self.limit):
            hint = f"write a {self.what} from 0 to {self.limit}"
            raise wrong(f"{shown(value)} is out of range", hint)
        return number

    def _of_text(self, text: str) -> float:
        if len(text) > MAX_CHARACTERS:
            raise wrong(f"{shown(text)} is not a {self.what}", f"write {self.example}")
        if self.unit and _BARE.match(text):
            return self._of_number(float(text))
        try:
            return self.parse(text)
        except ValueError as error:
            message, _, hint = str(error).partition(": ")
            raise wrong(message, hint or f"write {self.example}") from None

    def _of_number(self, value: float) -> float:
        """A number without a unit: zero and fractions need none, anything else is asked for its unit."""
        if not math.isfinite(value):
            raise wrong(f"{value} is not a {self.what}", f"write {self.example}")
        if value and self.unit:
            raise wrong(f"{value:.12g} has no unit", f"write {value:.12g}{self.unit} if you mean that")
        return value

    def written(self, number: float) -> str | float:
        """The number as it is written in a settings file."""
        return f"{number:.15g}{self.unit}" if self.unit else number

    def schema(self, units: Iterable[str]) -> dict[str, Any]:
        """JSON Schema: a number and one of the units, or a plain number where none is needed."""
        one_of = "|".join(re.escape(unit) for unit in units)
        compound = r"|(\d+(\.\d+)?(d|h|m|s)\s*){2,}" if self.unit == "s" else ""
        text = {"type": "string", "pattern": rf"^\s*({_NUMBER}\s*({one_of}){compound})\s*$"}
        bare = {"const": 0} if self.unit else {"type": "number", "minimum": 0, "maximum": 1}
        return {"anyOf": [text, bare], "examples": self.example.split(" or ")}


_DURATION = _Quantity("duration", "s", "3660d", "90s or 250ms or 1h30m", parse_duration_s)
"""At most ten years: far beyond any run, and far inside int64 nanoseconds."""
_SIZE = _Quantity("size", "B", "1e6TiB", "250MB or 24GiB", parse_bytes)
_RATE = _Quantity("data rate", "B/s", "1e6GB/s", "1.5Gbps or 87MB/s", parse_rate_bps)
DURATION_TEXT = _DURATION.schema(DURATION_UNITS)
"""JSON Schema of a duration."""
_FRACTION = _Quantity("fraction", "", "1", "0.1% or 0.001", parse_fraction)


def _read_bytes(value: Any) -> int:
    return round(_SIZE.read(value))


Duration: TypeAlias = Annotated[float, BeforeValidator(_DURATION.read), PlainSerializer(_DURATION.written),
                                WithJsonSchema(DURATION_TEXT)]
"""Seconds, written with a unit."""
Bytes: TypeAlias = Annotated[int, BeforeValidator(_read_bytes), PlainSerializer(_SIZE.written),
                             WithJsonSchema(_SIZE.schema(BYTE_UNITS))]
"""Bytes, written with a unit."""
Rate: TypeAlias = Annotated[float, BeforeValidator(_RATE.read), PlainSerializer(_RATE.written),
                            WithJsonSchema(_RATE.schema(RATE_UNITS))]
"""Bytes per second, written with a unit."""
Fraction: TypeAlias = Annotated[float, BeforeValidator(_FRACTION.read),
                                WithJsonSchema(_FRACTION.schema(("%",)))]
"""0 to 1, written as a percentage or a plain number."""


def _no_bool(value: Any) -> Any:
    """YAML's true is not the number 1."""
    if isinstance(value, bool):
        raise wrong(f"{shown(value)} is not possible", "write a number")
    return value


Real: TypeAlias = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
"""A finite number."""
Whole: TypeAlias = Annotated[int, BeforeValidator(_no_bool)]
"""A whole number."""
Number: TypeAlias = Annotated[Real, Field(ge=0, le=1e12)]
"""A number without a unit, 0 or more."""
Count: TypeAlias = Annotated[Whole, Field(ge=0, le=1_000_000_000)]
"""A whole number, 0 or more."""
