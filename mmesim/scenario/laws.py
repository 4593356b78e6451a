"""Settings that are probability laws: a constant (``150ms``) or ``{law: lognormal, mean: 150ms, cv: 0.5}``.

What each law needs is checked by :class:`mmesim.core.distribution.Distribution`, which is what a run draws
from.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import GetJsonSchemaHandler, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from mmesim.core.distribution import Distribution
from mmesim.settings import DURATION_TEXT, Duration, Number, Settings, wrong

LawName = Literal["constant", "uniform", "exponential", "lognormal", "gamma", "hyperexponential"]
_EXAMPLES = "e.g. 150ms, {law: uniform, low: 50ms, high: 500ms}, {law: lognormal, mean: 150ms, cv: 0.5}"


class _Law(Settings):
    """A law that has been checked to exist."""

    law: LawName = "constant"
    """Shape of the distribution."""
    cv: Number | None = None
    """Standard deviation over mean: lognormal, gamma, hyperexponential (1 or more), uniform."""

    def distribution(self) -> Distribution:
        """What a run draws from."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _exists(self) -> _Law:
        try:
            self.distribution()
        except ValueError as error:
            raise wrong(str(error), _EXAMPLES) from None
        return self

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class DurationLaw(_Law):
    """A duration that varies; in seconds."""

    mean: Duration | None = None
    """Mean; every law but a uniform one with bounds needs it."""
    low: Duration | None = None
    """Lower bound of the uniform law."""
    high: Duration | None = None
    """Upper bound of the uniform law."""

    def distribution(self) -> Distribution:
        """The law in seconds. Raises ValueError when there is none with these numbers."""
        if self.mean is None and self.low is None:
            raise ValueError(f"the {self.law} law needs a mean")
        return Distribution(self.law, self.mean or 0.0, self.cv, self.low, self.high)

    @model_validator(mode="before")
    @classmethod
    def _constant(cls, value: Any) -> Any:
        """A bare duration is a constant."""
        return {"law": "constant", "mean": value} if isinstance(value, str | int | float) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [DURATION_TEXT, handler(core)], "description": f"A constant or a law, {_EXAMPLES}"}


class RelativeLaw(_Law):
    """A factor that varies round 1."""

    def distribution(self) -> Distribution:
        """The law with mean 1. Raises ValueError when there is none with this cv."""
        return Distribution(self.law, 1.0, self.cv)


def constant(seconds: float) -> DurationLaw:
    """A duration that does not vary."""
    return DurationLaw(law="constant", mean=f"{seconds}s")


def lognormal(mean_s: float, cv: float) -> DurationLaw:
    """A lognormal duration with this mean in seconds."""
    return DurationLaw(law="lognormal", mean=f"{mean_s}s", cv=cv)
