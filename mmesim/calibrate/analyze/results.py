"""What a run's folder knows of a model: the raw results of its steps.

All results that were measured with the model's present files are used, whichever command measured them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers import read_points


@dataclass(frozen=True)
class Results:
    """What a run's folder knows of one model."""

    model: str
    records: Mapping[str, Mapping[str, Any]]
    """Step -> {step, digests, machine, result}."""
    points: list[OperatingPoint] = field(default_factory=list)
    """What Model Analyzer measured."""

    def result(self, step: str) -> Mapping[str, Any] | None:
        """What this step measured; None when it was not done."""
        record = self.records.get(step)
        return record["result"] if record else None

    def of_kind(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """Step -> result, of all steps of a kind."""
        return {step: record["result"] for step, record in self.records.items() if step.startswith(f"{kind}/")}


def read_results(folder: Path, model: str, digests: Mapping[str, str]) -> Results:
    """All results about this model whose files are still the same."""
    records = {}
    for path in sorted(folder.glob("raw/**/*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        of_now = all(digests.get(name, hash_) == hash_ for name, hash_ in record["digests"].items())
        if model in record["digests"] and of_now:
            records[record["step"]] = record
    results = Results(model, records)
    grid = results.result(f"grid/{model}")
    points = read_points([folder / grid["checkpoint"]]).points if grid else []
    return Results(model, records, [point for point in points if point.model == model])
