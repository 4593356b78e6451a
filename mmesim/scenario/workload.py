"""Settings of the workload: when requests come, for which models, and what their clients do with errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from mmesim.scenario.endpoint import PositiveDuration, PositiveNumber
from mmesim.scenario.laws import DurationLaw, constant
from mmesim.settings import Count, Duration, Fraction, Number, Real, Settings, Whole, wrong

DAY_S = 86_400.0
RequestRate = Annotated[Number, Field(le=1e7)]
Expand = Literal["uniform", "poisson", "even"]


class _ByName:
    """A variant without parameters may be written as its name alone: `popularity: uniform`."""

    @staticmethod
    def __get_pydantic_core_schema__(source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: {"use": value} if isinstance(value, str) else value, handler(source))

    @staticmethod
    def __get_pydantic_json_schema__(core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(core)]}


class NoArrivals(Settings):
    """No arrivals of its own: a trace or closed-loop clients bring the requests."""

    use: Literal["none"] = "none"
    """Kind of arrivals."""


class Poisson(Settings):
    """Independent requests at a constant rate."""

    use: Literal["poisson"]
    """Kind of arrivals."""
    rate_rps: RequestRate
    """Requests per second."""


class Gamma(Settings):
    """Gamma-distributed gaps: burstier (cv > 1) or more even (cv < 1) than Poisson."""

    use: Literal["gamma"]
    """Kind of arrivals."""
    rate_rps: RequestRate
    """Requests per second."""
    cv: PositiveNumber
    """Coefficient of variation of the gaps."""


class Mmpp(Settings):
    """Markov-modulated Poisson process: a rate per state, and exponential times in each."""

    use: Literal["mmpp"]
    """Kind of arrivals."""
    rates_rps: tuple[RequestRate, ...] = Field(min_length=1, max_length=1000)
    """Requests per second in each state."""
    mean_sojourn: tuple[Annotated[Duration, Field(ge=0.001)], ...] = Field(min_length=1, max_length=1000)
    """Mean time in each state."""

    @model_validator(mode="after")
    def _one_sojourn_a_rate(self) -> Mmpp:
        if len(self.rates_rps) != len(self.mean_sojourn):
            raise wrong(f"{len(self.rates_rps)} rates_rps but {len(self.mean_sojourn)} mean_sojourn",
                        "give each state one rate and one mean_sojourn")
        return self


class RateProfile(Settings):
    """A rate that follows a piecewise linear shape; Poisson, or with gamma-distributed gaps."""

    use: Literal["profile"]
    """Kind of arrivals."""
    rate_rps: RequestRate
    """Requests per second where the shape is 1."""
    shape: tuple[tuple[Duration, Number], ...] = Field(min_length=1, max_length=100_000)
    """[time, multiple of rate_rps] pairs, linear in between; two pairs at one time are a jump."""
    cv: PositiveNumber = 1.0
    """Coefficient of variation of the gaps where the rate stands still; 1: Poisson."""
    period: Annotated[Duration, Field(ge=1)] | None = None
    """The shape repeats with this period; null: it stays at its last value."""

    @model_validator(mode="after")
    def _in_time_order(self) -> RateProfile:
        times = [time for time, _ in self.shape]
        if times != sorted(times):
            raise wrong("the shape is not in time order", "sort the [time, multiple] pairs by time")
        if self.period is not None and times[-1] > self.period:
            raise wrong(f"the shape goes on to {times[-1]:g}s, beyond its period of {self.period:g}s",
                        "make the period longer, or drop the pairs after it")
        return self


class Diurnal(Settings):
    """Poisson with a rate that follows a sinusoid of one day; the run starts at midnight."""

    use: Literal["diurnal"]
    """Kind of arrivals."""
    rate_rps: RequestRate
    """Mean requests per second."""
    peak_to_trough: Annotated[Real, Field(ge=1, le=1e12)] = 2.0
    """Highest over lowest rate."""
    peak_at: Annotated[Duration, Field(le=DAY_S)] = 54_000.0
    """Time of day of the highest rate."""


class MinuteCounts(Settings):
    """Endpoint totals per minute from a file (columns minute, count); popularity chooses the models."""

    use: Literal["minute_counts"]
    """Kind of arrivals."""
    file: str
    """CSV or Parquet file, relative to the scenario."""
    expand: Expand = "uniform"
    """How a minute's count becomes times."""


ArrivalSettings = Annotated[NoArrivals | Poisson | Gamma | Mmpp | RateProfile | Diurnal | MinuteCounts,
                            Field(discriminator="use"), _ByName]


class Zipf(Settings):
    """The model of rank r has the weight r^-s."""

    use: Literal["zipf"] = "zipf"
    """Kind of popularity."""
    s: Annotated[Number, Field(le=20)] = 1.1
    """Exponent; 0: uniform."""
    shuffle: bool = True
    """Ranks in random order; false: in the order of the models."""


class Uniform(Settings):
    """Every model alike."""

    use: Literal["uniform"]
    """Kind of popularity."""


class Explicit(Settings):
    """A weight per model; a model without one gets no requests."""

    use: Literal["explicit"]
    """Kind of popularity."""
    weights: dict[str, Number] = Field(min_length=1)
    """Model name: weight."""


class Drifting(Settings):
    """Zipf whose ranks change."""

    use: Literal["drifting"]
    """Kind of popularity."""
    s: Annotated[Number, Field(le=20)] = 1.1
    """Exponent; 0: uniform."""
    shuffle: bool = True
    """First ranks in random order; false: in the order of the models."""
    every: Annotated[Duration, Field(ge=1)] = 3600.0
    """Time between two changes."""
    swap: Fraction = 0.05
    """Fraction of the models that trade ranks at a change."""


PopularitySettings = Annotated[Zipf | Uniform | Explicit | Drifting, Field(discriminator="use"), _ByName]


class Surge(Settings):
    """A flash crowd: matching models get `factor` times their rate for a while."""

    at: Duration
    """Start."""
    for_: PositiveDuration = Field(alias="for")
    """How long."""
    factor: PositiveNumber
    """Multiple of the current rate."""
    models: str = "*"
    """Shell pattern on model names."""


class Sessions(Settings):
    """Requests that stay with their model."""

    repeat: Annotated[Fraction, Field(lt=1)] = 0.0
    """P(a request is for the model of an earlier one); popularity stays as it is."""
    reach: Annotated[Real, Field(ge=1, le=10_000)] = 1.0
    """That one lies so many requests back on average: as many sessions mix. 1: it is the one before."""


class TraceOptions(Settings):
    """How the trace file is read."""

    kind: Literal["auto", "requests", "minute_counts"] = "auto"
    """requests | minute_counts (minute, model, count) | auto: by its columns."""
    expand: Expand = "uniform"
    """How a minute's count becomes times."""
    map: Literal["round_robin", "hash", "name"] = "round_robin"
    """Trace ids to models: round_robin (by rank) | hash | name."""
    start: Duration = 0.0
    """Start of the slice of the trace; it becomes time 0."""
    end: PositiveDuration | None = None
    """End of the slice; null: the trace's end."""
    thin: Annotated[Fraction, Field(gt=0)] = 1.0
    """Keep each request with this probability."""
    repeat: Annotated[Whole, Field(ge=1, le=10_000)] = 1
    """Superpose so many shifted copies."""

    @model_validator(mode="after")
    def _ends_after_start(self) -> TraceOptions:
        if self.end is not None and self.end <= self.start:
            raise wrong(f"end {self.end:g}s is not after start {self.start:g}s", "end the slice later")
        return self


class Stage(Settings):
    """One stage of a Locust load shape."""

    until: PositiveDuration
    """End of the stage, from the start of the run."""
    users: Annotated[Count, Field(le=1_000_000)]
    """Users to reach."""
    spawn_rate: PositiveNumber
    """Users started or stopped per second."""


class Clients(Settings):
    """Closed loop: each user sends a request, waits for the answer, thinks, sends the next."""

    wait: DurationLaw = constant(0.0)
    """Think time after each answer; Locust's between() is {law: uniform, low: .., high: ..}."""
    stages: tuple[Stage, ...] = ()
    """Locust's load shape; give this or `users`."""
    users: Annotated[Count, Field(le=1_000_000)] = 0
    """So many users from the start to the end; give this or `stages`."""

    @model_validator(mode="after")
    def _either(self) -> Clients:
        if bool(self.stages) == bool(self.users):
            raise wrong("clients need either stages or users", "write `users: 50`, or stages: [{until: ..}]")
        ends = [stage.until for stage in self.stages]
        if ends != sorted(set(ends)):
            raise wrong("the stages are not in time order", "sort them by `until`; no two may end together")
        return self


class Retries(Settings):
    """What a client does with an error: attempt k+1 follows after backoff·factor^(k-1)·(1 - jitter·U)."""

    attempts: Annotated[Whole, Field(ge=1, le=100)] = 1
    """Attempts in all (botocore's legacy default is 5)."""
    backoff: Duration = 0.5
    """First pause."""
    factor: Annotated[Real, Field(ge=1, le=100)] = 2.0
    """Growth of the pauses."""
    jitter: Fraction = 1.0
    """Random part of a pause."""
    on: tuple[Annotated[Whole, Field(ge=400, le=599)], ...] = (429, 503)
    """HTTP codes that are retried."""


class Workload(Settings):
    """When requests come, and for which models. Needs arrivals, a trace or clients."""

    arrivals: ArrivalSettings = NoArrivals()
    """When requests come (open loop)."""
    surges: tuple[Surge, ...] = ()
    """Flash crowds."""
    popularity: PopularitySettings = Zipf()
    """Which model a request is for."""
    sessions: Sessions = Sessions()
    """Requests that stay with their model."""
    items: Annotated[Whole, Field(ge=1, le=100_000)] = 1
    """Samples in one request (client-side batch)."""
    scale: PositiveNumber = 1.0
    """So many times the rate, or the users; a trace is superposed and thinned."""
    start: Duration = 0.0
    """Leave out so much of the beginning; what follows stays as it is and begins at 0."""
    only: tuple[str, ...] | None = None
    """Shell patterns: keep the requests for matching models only; null: all."""
    trace: str | None = None
    """File (CSV or Parquet: timestamp_s, model[, items, work]) instead of arrivals and popularity."""
    trace_options: TraceOptions = TraceOptions()
    """How the trace file is read."""
    clients: Clients | None = None
    """Closed loop instead of arrivals."""
    retries: Retries = Retries()
    """What clients do with an error."""

    @model_validator(mode="after")
    def _one_source(self) -> Workload:
        sources = {"arrivals": self.arrivals.use != "none", "trace": self.trace is not None,
                   "clients": self.clients is not None}
        given = [name for name, there in sources.items() if there]
        if len(given) != 1:
            raise wrong(f"{' and '.join(given)} are both given" if given else "nothing sends requests",
                        "give one of arrivals, trace and clients; `arrivals: none` or null takes one away")
        return self
