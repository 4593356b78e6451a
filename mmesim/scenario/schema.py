"""What may be written in a scenario file; ``scenarios/reference.yaml`` is the same thing by example.

Every setting has its default and its description here and nowhere else: `mmesim schema` prints them as JSON
Schema. Names are those of the file. Durations are float seconds, sizes int bytes, rates bytes per second,
percentages fractions of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr

from mmesim.scenario.endpoint import Endpoint, PositiveDuration
from mmesim.scenario.faults import Fault
from mmesim.scenario.models import ModelGroup
from mmesim.scenario.objective import Objective
from mmesim.scenario.plan import Plan
from mmesim.scenario.workload import Workload
from mmesim.settings import Count, Duration, Settings

DEFAULT_DURATION_S = 3600.0
"""Without `duration` and without a trace."""


class Checks(Settings):
    """Doubts that can be put aside."""

    intended_overload: bool = False
    """true: offered load above capacity is meant; do not refuse the file."""
    hopeless_objective: bool = False
    """true: a target below the time of a request that never waits is meant; do not refuse the file."""


class Output(Settings):
    """What a run leaves behind in its folder."""

    interval: Annotated[Duration, Field(ge=0.1)] = 60.0
    """Interval of the time series."""
    requests: bool = False
    """requests.parquet: a row a request."""
    journal: bool = True
    """journal.jsonl.zst: every event and action."""
    decisions: bool = True
    """In the journal: how policies came to evict and to scale (`mmesim explain`)."""
    trace: bool = True
    """trace.json for Perfetto."""
    report: bool = True
    """report.html."""


class Scenario(Settings):
    """One run: an endpoint, its models, their workload, and what is asked of them."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)] = "scenario"
    """Results go to reports/<name>/; default: the file's name."""
    description: str = ""
    """One line for the report's head."""
    seed: Count = 0
    """Every random stream is derived from it, by name."""
    duration: PositiveDuration | None = None
    """Simulated time; null: until the trace ends, else 1h."""
    warmup: Duration = 0.0
    """Left out of the summary."""
    endpoint: Endpoint = Endpoint()
    """The multi-model endpoint."""
    instance_types: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """Your own rows of the catalog, or changes to built-in ones."""
    profiles: Mapping[str, str] = Field(default_factory=dict)
    """Your own profiles: {my-model: path/to/profile.yaml}."""
    models: tuple[ModelGroup, ...] = Field(min_length=1)
    """The models, in groups."""
    workload: Workload
    """The requests."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong, on a schedule or at random."""
    objective: Objective = Objective()
    """What the result is judged by."""
    plan: Plan = Plan()
    """What `mmesim plan` may choose from."""
    checks: Checks = Checks()
    """Doubts that can be put aside."""
    output: Output = Output()
    """What a run leaves behind."""

    _source_file: Path = PrivateAttr(default=Path())

    @property
    def source_file(self) -> Path:
        """The file it was loaded from."""
        return self._source_file

    @property
    def base_dir(self) -> Path:
        """The folder that files named in the scenario are relative to."""
        return self._source_file.parent

    def resolved(self) -> dict[str, Any]:
        """Every setting, defaults filled in, as plain data with units that can be loaded again."""
        return self.model_dump(mode="json", by_alias=True)


def json_schema() -> dict[str, Any]:
    """The scenario file as JSON Schema (draft 2020-12), for completion and checks in an editor."""
    schema = Scenario.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mmesim scenario", **schema}
