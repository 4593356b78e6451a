"""Runs of one small scenario with several settings on equal seeds, for tests that judge policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate

QUIET = ("output={journal: false, trace: false, report: false}",)


def paired(folder: Path, scenario: str, variants: Mapping[str, Sequence[str]], seeds: Sequence[int],
           *keys: str) -> dict[str, dict[str, NDArray[np.float64]]]:
    """For each variant (a name and its overrides) and each dotted key of the summary its values, one a seed."""
    path = folder / "scenario.yaml"
    path.write_text(scenario, encoding="utf-8")
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, overrides in variants.items():
        runs = [simulate(build(load_scenario(str(path), (*QUIET, *overrides, f"seed={seed}")))).summary
                for seed in seeds]
        found[name] = {key: np.array([value_of(run, key) for run in runs], float) for key in keys}
        print(f"{name}: " + "; ".join(f"{key} {np.mean(values):.4g} {np.round(values, 4)}"
                                      for key, values in found[name].items()))
    return found


def value_of(summary: Any, key: str) -> float:
    """The number under a dotted key."""
    return float(reduce(lambda inner, name: inner[name], key.split("."), summary))
