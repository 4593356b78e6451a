"""Settings of faults: things that go wrong on a schedule (`at`) or at random (`every`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mmesim.scenario.endpoint import PositiveDuration, PositiveNumber
from mmesim.settings import Count, Duration, Real, Settings, wrong

Random = Literal["random"]


class _Fault(Settings):
    """When it happens: once, or again and again."""

    at: Duration | None = None
    """Once, at this time."""
    every: Annotated[Duration, Field(ge=1)] | None = None
    """At random with this mean time between (exponential)."""

    @model_validator(mode="after")
    def _once_or_often(self) -> _Fault:
        if (self.at is None) == (self.every is None):
            raise wrong("a fault needs either `at` or `every`",
                        "write `at: 30m` (once) or `every: 24h` (mean time between)")
        return self


class _Lasting(_Fault):
    for_: PositiveDuration = Field(alias="for")
    """How long it lasts."""


class InstanceCrash(_Fault):
    """An instance dies with all that is on it."""

    use: Literal["instance_crash"]
    """Kind of fault."""
    instance: Count | Random = "random"
    """Number of the instance, counted from 0 in the order of launch, or `random`."""


class ZoneLoss(_Lasting):
    """Every instance of an availability zone dies, and none can be launched there."""

    use: Literal["zone_loss"]
    """Kind of fault."""
    zone: Count | Random = "random"
    """Number of the zone, counted from 0, or `random`."""


class S3Outage(_Lasting):
    """No download starts or goes on."""

    use: Literal["s3_outage"]
    """Kind of fault."""


class S3Slow(_Lasting):
    """Downloads take `factor` times as long."""

    use: Literal["s3_slow"]
    """Kind of fault."""
    factor: Annotated[Real, Field(ge=1, le=1e12)]
    """So many times slower."""


class S3Throttle(_Lasting):
    """S3 answers 503 Slow Down beyond `rate` GET/s."""

    use: Literal["s3_throttle"]
    """Kind of fault."""
    rate: PositiveNumber
    """GET/s that are still answered."""


class LoadFailures(_Lasting):
    """Loads of matching models end in an error."""

    use: Literal["load_failures"]
    """Kind of fault."""
    models: str = "*"
    """Shell pattern on model names."""


Fault = Annotated[InstanceCrash | ZoneLoss | S3Outage | S3Slow | S3Throttle | LoadFailures,
                  Field(discriminator="use")]
