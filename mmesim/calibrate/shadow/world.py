"""The live endpoint as a simulation: its own requests, models and capacities, and times fitted to its journal.

Models share no device here: what they cost each other is in their times already, as far as the journal's load was like
the simulated one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mmesim.calibrate.shadow.fit import Fitted
from mmesim.calibrate.shadow.observed import Observed
from mmesim.core.streams import stream
from mmesim.core.types import NEVER_NS, ModelSpec
from mmesim.dataplane.api import ServiceSpec
from mmesim.live.setup import Setup
from mmesim.scenario.build import Build, BuiltModel, build
from mmesim.scenario.schema import Scenario
from mmesim.units import ns, seconds
from mmesim.workload.types import CHUNK, WORK_ONE, Arrivals

FAST = "100Gbps"
"""What network and disk take is in the measured times already."""
SHARE_Q16 = 1
"""Of the device, for each running batch: requests wait for their own copy only."""
POLL_S = 0.001
"""The live endpoint sees the end of an unload at once; the simulator's smallest poll is as good."""
PROFILE = """
name: live
model: any model of a live endpoint
task: none
input: any
backend: any
precision: fp32
gpu: {device}
framework: any
sources:
  journal: "the journal of the live endpoint"
latency: {{basis: measured, source: journal, batches: [{{batch: 1, infer: 10ms}}]}}
max_batch_size: {{value: 1, basis: rule, source: journal}}
instance_count: {{value: 1, basis: rule, source: journal}}
preferred_batch_sizes: {{value: [], basis: rule, source: journal}}
max_queue_delay: {{value: 0ms, basis: rule, source: journal}}
gpu_share: {{value: 0.01, basis: rule, source: journal}}
cpu_cores: {{value: 1, basis: rule, source: journal}}
host_cpu:
  per_request: {{value: 0ms, basis: rule, source: journal}}
  per_item: {{value: 0ms, basis: rule, source: journal}}
overhead: {{value: 0ms, basis: rule, source: journal}}
gpu_bytes: {{value: {gpu_bytes}, basis: rule, source: journal}}
framework_base_bytes: {{value: 0B, basis: rule, source: journal}}
host_bytes: {{value: 0B, basis: rule, source: journal}}
artifact_bytes: {{value: 0B, basis: rule, source: journal}}
disk_bytes: {{value: 0B, basis: rule, source: journal}}
load:
  time: {{value: 1s, basis: rule, source: journal}}
"""


class Recorded:
    """The journal's arrivals, the same each time; each with a work of its own, drawn from the spread of the times."""

    def __init__(self, seen: Observed, fitted: Fitted, zero_ns: int) -> None:
        self._t_ns = np.maximum(0, np.frombuffer(seen.arrival_ns, np.int64) - zero_ns)
        self._model = np.frombuffer(seen.arrival_model, np.int32)
        drawn = stream(seen.setup.seed, "shadow", "work").choice(fitted.spread, len(self._t_ns))
        self._work = np.maximum(1, (drawn / np.mean(fitted.spread) * WORK_ONE).astype(np.int64))
        self._at = 0

    def next_chunk(self) -> Arrivals | None:
        """See `ArrivalSource`."""
        rows = slice(self._at, self._at + CHUNK)
        self._at += CHUNK
        t_ns = self._t_ns[rows]
        if not len(t_ns):
            return None
        return Arrivals(t_ns, self._model[rows], np.ones(len(t_ns), np.int32), self._work[rows])


@contextmanager
def simulated_world(seen: Observed, fitted: Fitted) -> Iterator[Any]:
    """Gives a function from a `Setup` (its policies count) and a name to a `Build` of its own."""
    with TemporaryDirectory(prefix="mmesim-shadow-") as folder:
        profile = Path(folder) / "live.yaml"
        device = "T4" if seen.setup.spec.instance.has_gpu else "cpu"
        profile.write_text(PROFILE.format(device=device, gpu_bytes="0B" if device == "cpu" else "1B"), encoding="utf-8")
        yield lambda setup, name: _build(setup, name, seen, fitted, profile)


def zero_ns(seen: Observed) -> int:
    """Where the simulated time begins: when the first instance came into service."""
    return max(0, seen.first_joined_ns)


def _build(setup: Setup, name: str, seen: Observed, fitted: Fitted, profile: Path) -> Build:
    scenario = Scenario.model_validate(_scenario(setup, name, seen, fitted, profile))
    scenario._source_file = setup.base_dir / "live.yaml"
    made = build(scenario)
    models = tuple(_model(number, one, seen, fitted) for number, one in enumerate(made.models))
    plane = replace(made.plane, services=tuple(model.service for model in models), interference_q16=0)
    return replace(made, models=models, endpoint=setup.spec, plane=plane, load_slowdown=1.0,
                   arrivals=Recorded(seen, fitted, zero_ns(seen)), clients=None)


def _scenario(setup: Setup, name: str, seen: Observed, fitted: Fitted, profile: Path) -> dict[str, Any]:
    length_s = max(1e-3, seconds(seen.ended_ns - zero_ns(seen)))
    return {
        "name": name, "seed": setup.seed, "duration": f"{length_s:.9f}s", "endpoint": _endpoint(setup, fitted),
        "instance_types": {"live": _instance_type(setup)}, "profiles": {"live": str(profile)},
        "models": [{"profile": "live", "count": seen.n_models, "name": "model-{i}"}],
        "workload": {"arrivals": {"use": "poisson", "rate_rps": 1}, "popularity": {"use": "uniform"}},
        "faults": [{"use": "instance_crash", "at": f"{seconds(at_ns - zero_ns(seen)):.9f}s", "instance": slot}
                   for at_ns, slot in seen.losses if at_ns > zero_ns(seen)],
        "checks": {"intended_overload": True}, "output": {"journal": False, "trace": False, "report": False}}


def _endpoint(setup: Setup, fitted: Fitted) -> Mapping[str, Any]:
    settings = setup.settings.model_dump(mode="json", by_alias=True)
    instances = {"initial": setup.desired, "min": min(setup.spec.min_instances, setup.desired),
                 "max": setup.spec.max_instances}
    rate_bps = 1 / fitted.download_s_per_byte if fitted.download_s_per_byte else 12.5e9
    return {
        **settings, "like": None, "instance_type": "live", "instances": instances,
        "server": {**settings["server"], "unload_poll": f"{POLL_S}s", "load_time_cv": min(10.0, fitted.load_cv),
                   "unload_time": _law("constant", max(0.0, fitted.unload_s - POLL_S)), "interference": 0,
                   "frontend_overhead": 0, "first_inference": None, "load_slowdown": 1, "frontend_threads": None},
        "storage": {**settings["storage"], "s3_connections": 1, "s3_connection_rate": f"{rate_bps:.0f}B/s",
                    "extract_rate": FAST,
                    "s3_first_byte": _law("lognormal", fitted.download_fixed_s, cv=min(10.0, fitted.download_cv))},
        "provisioning": {**settings["provisioning"], "time": _law("constant", fitted.start_s)}}


def _law(law: str, mean_s: float, **more: float) -> dict[str, Any]:
    return {"law": law, "mean": f"{mean_s:.9f}s", **more}


def _instance_type(setup: Setup) -> dict[str, Any]:
    instance = setup.spec.instance
    device = {"gpu": "T4", "gpu_count": 1, "gpu_bytes": 2 * instance.gpu_bytes} if instance.has_gpu else {}
    return {"vcpus": 1024, "ram_bytes": 2 * instance.host_bytes + (64 << 30), "disk_bytes": 2 * instance.disk_bytes,
            "network_baseline_bps": FAST, "network_burst_bps": FAST, **device}


def _model(number: int, made: BuiltModel, seen: Observed, fitted: Fitted) -> BuiltModel:
    spec = seen.specs[number]
    gpu_bytes, host_bytes = seen.actual.get(number, (spec.gpu_bytes, spec.host_bytes))
    return replace(
        made, spec=_expected(spec, seen.setup.models[number]), service=_service(made.service, number, fitted),
        actual_gpu_bytes=gpu_bytes, actual_host_bytes=host_bytes, load_s=fitted.load_s[number],
        fails_to_load=number in seen.never_loaded,
        available_from_ns=max(0, seen.added.get(number, NEVER_NS) - zero_ns(seen)),
        available_until_ns=seen.removed.get(number, NEVER_NS))


def _expected(known: ModelSpec, before: ModelSpec) -> ModelSpec:
    """As the endpoint knew it from the beginning, or when it came."""
    return before if before.name else known


def _service(made: ServiceSpec, number: int, fitted: Fitted) -> ServiceSpec:
    return replace(made, service_ns=np.array([0, max(1, ns(fitted.service_s[number]))], np.int64), share_q16=SHARE_Q16,
                   instance_count=fitted.at_once, first_inference_ns=ns(fitted.first_s), overhead_ns=0)
