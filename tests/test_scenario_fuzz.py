"""Any setting with any value: a scenario or an InputError with file, setting and message, quickly."""

import json
import math
import time
from collections.abc import Iterator
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmesim.errors import InputError, format_problems
from mmesim.packaged import packaged_dir
from mmesim.scenario.load import load_scenario
from mmesim.scenario.schema import Scenario
from mmesim.yamldoc import load_document

SECONDS = 2.0


def paths(data: Any, prefix: str = "") -> Iterator[str]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield f"{prefix}{key}"
        yield from paths(value, f"{prefix}{key}.")


PATHS = sorted({*paths(load_document(packaged_dir("scenarios") / "reference.yaml").data),
                "endpoint.autoscaling.0", "workload.surges.0", "faults.0", "workload.clients", "workload.trace",
                "workload.clients.users", "instance_types.ml.g4dn.2xlarge.gpu_bytes", "profiles.own", "nonsense",
                "a.b.0.c"})
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-3, 1000), st.floats(), st.text(max_size=20),
    st.sampled_from(["", "0", "0s", "-3s", "1e300GB", "3660d", "1ns", "9" * 500, "1e999s", "nan", ".inf", "90s",
                     "1GB", "5%", "..", "zipf", "none", "poisson", "minute_counts", "lru", "x:Y", "/", "/dev/zero",
                     "{i}", "{i.__class__}", "{", "*", "resnet50-pytorch-t4", "ml.c5.xlarge", "\x00", "\ud7ff"]))
KEYS = ["use", "law", "mean", "cv", "rate_rps", "at", "for", "every", "models", "users", "profile", "weights", "shape",
        "period", "target", "metric", "x"]
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(
    st.lists(inner, max_size=3),
    st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)), max_leaves=8)

OFTEN = {"use": "profile", "rate_rps": 1, "period": "1s", "shape": [[0, 1]]}


def written(value: Any) -> str:
    """As YAML: JSON is, but for the floats that have no number."""
    return json.dumps(value).replace("NaN", ".nan").replace("-Infinity", "-.inf").replace("Infinity", ".inf")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PATHS), VALUES), min_size=1, max_size=3))
@example([("duration", "3660d"), ("workload.popularity", {"use": "drifting", "every": "1s"})])
@example([("duration", "3660d"), ("workload.arrivals", OFTEN)])
@example([("duration", "3660d"), ("workload.arrivals", {"use": "diurnal", "rate_rps": 1})])
@example([("duration", "3660d"), ("workload.arrivals.rate_rps", 1e7)])
@example([("models.0.count", 200_000), ("models.1.count", 200_000)])
@example([("models.0.preferred_batch_sizes", [1e300])])
@example([("workload.arrivals.rate_rps", math.nan)])
@example([("endpoint.autoscaling", [{"use": "target_tracking", "metric": "GPUUtilization", "target": -1}])])
def test_any_value_anywhere(changes: list[tuple[str, Any]]) -> None:
    overrides = [f"{path}={written(value)}" for path, value in changes]
    started = time.process_time()
    try:
        scenario = load_scenario("reference", overrides)
    except InputError as error:
        assert error.problems and all(problem.message and problem.file for problem in error.problems)
        assert len(format_problems(error)) < 20_000
    else:
        assert Scenario.model_validate(scenario.resolved()).resolved() == scenario.resolved()
    assert time.process_time() - started < SECONDS
