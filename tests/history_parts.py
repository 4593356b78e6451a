"""Pasts for tests of `mmesim what-if`: recorded runs, a live journal's world as a scenario, CloudWatch's answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from live_world import models

from mmesim.calibrate.shadow.world import FAST, PROFILE
from mmesim.cli.progress import no_steps
from mmesim.core.types import ModelSpec
from mmesim.planner.history.past import Past
from mmesim.planner.history.read import read_past
from mmesim.planner.history.run import Question, prepare, what_if
from mmesim.results.history import WhatIf
from mmesim.results.output import OutputWriter
from mmesim.results.run import Run
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate

ENDPOINT = """
name: shop
seed: 3
duration: 10m
warmup: 1m
endpoint: {instance_type: ml.g4dn.2xlarge, instances: 1, server: {load_time_cv: 0.3}}
models:
  - {profile: resnet50-pytorch-t4, count: 56, name: "resnet-{i:02}"}
workload:
  arrivals: {use: poisson, rate_rps: 8}
  popularity: {use: zipf, s: 0.8}
output: {requests: true, journal: false, trace: false, report: false}
"""
HALF_THE_MEMORY = "instance_types={ml.g4dn.2xlarge: {gpu_bytes: 8GiB}}"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def scenario_file(folder: Path, text: str = ENDPOINT) -> str:
    """The current configuration as a file."""
    path = folder / "shop.yaml"
    path.write_text(text)
    return str(path)


def recorded_run(file: str, folder: Path, *overrides: str) -> Path:
    """A run that was written to a folder, as `mmesim run` does."""
    built = build(load_scenario(file, overrides))
    out = OutputWriter(folder)
    simulate(built, out=out).write(out)
    return out.commit()


def asked(file: str, past: Past | Path, folder: Path, *changes: str, **more: Any) -> WhatIf:
    """The answer to a question; stored runs lie in `folder`."""
    known = read_past(past) if isinstance(past, Path) else past
    question = Question(file, known, changes, folder / ".cells", **more)
    return what_if(prepare(question), no_steps, lambda _: None)


def number(run: Run, key: str) -> float:
    """One of a run's summary."""
    value: Any = run.summary
    for part in key.split("."):
        value = value[part]
    return float(value)


# ---- CloudWatch


@dataclass(frozen=True)
class Point:
    """One series in an answer of ``aws cloudwatch get-metric-data``."""

    id: str
    metric: str
    stat: str
    values: Iterable[float]
    namespace: str = "AWS/SageMaker"


def metric_data(series: Iterable[Point], begins: datetime = NOON, period_s: int = 60, *, labels: bool = True,
                skip: float = np.nan) -> dict[str, Any]:
    """The answer, latest first as CloudWatch gives it; a value of `skip` is a period without a point. `labels`: each
    query had one that names metric and statistic, else there is the metric's name, CloudWatch's own."""
    results = []
    for each in series:
        points = [(begins.timestamp() + k * period_s, float(value)) for k, value in enumerate(each.values)]
        points = [point for point in points if not (np.isnan(point[1]) or point[1] == skip)][::-1]
        results.append({"Id": each.id, "Label": f"{each.metric} {each.stat}" if labels else each.metric,
                        "Timestamps": [datetime.fromtimestamp(at, UTC).isoformat() for at, _ in points],
                        "Values": [value for _, value in points], "StatusCode": "Complete"})
    return {"MetricDataResults": results, "Messages": []}


def queries(series: Iterable[Point], period_s: int = 60) -> list[dict[str, Any]]:
    """What was asked for, as ``--metric-data-queries file://queries.json`` takes it."""
    dimensions = [{"Name": "EndpointName", "Value": "shop"}, {"Name": "VariantName", "Value": "AllTraffic"}]
    return [{"Id": each.id, "MetricStat": {"Metric": {"Namespace": each.namespace, "MetricName": each.metric,
                                                      "Dimensions": dimensions}, "Period": period_s, "Stat": each.stat}}
            for each in series]


def published(folder: Path) -> list[Point]:
    """What CloudWatch would have told of a recorded run, minute by minute: its units, its averages over requests."""
    import pandas as pd

    metrics, requests = pd.read_parquet(folder / "metrics.parquet"), pd.read_parquet(folder / "requests.parquet")
    per_instance = "/aws/sagemaker/Endpoints"
    outside = [f"{name}_ns" for name in ("download", "extract", "room", "load", "stall", "overhead")]
    model_us = (requests["latency_ns"] - requests[outside].sum(axis=1)) / 1e3
    p99 = model_us.groupby(requests["issued_ns"] // 60_000_000_000).quantile(0.99, interpolation="higher")
    loads = metrics["loads_from_disk"] + metrics["loads_from_s3"]
    minutes = len(metrics)
    return [Point("calls", "Invocations", "Sum", metrics["Invocations"]),
            Point("lat_avg", "ModelLatency", "Average", metrics["ModelLatency"]),
            Point("lat_p99", "ModelLatency", "p99", p99.reindex(range(minutes)).to_numpy()),
            Point("over_avg", "OverheadLatency", "Average", metrics["OverheadLatency"]),
            Point("wait_avg", "ModelLoadingWaitTime", "Average", metrics["ModelLoadingWaitTime"]),
            Point("hit", "ModelCacheHit", "Average", metrics["ModelCacheHit"]),
            Point("e4", "Invocation4XXErrors", "Sum", metrics["Invocation4XXErrors"]),
            Point("e5", "Invocation5XXErrors", "Sum", metrics["Invocation5XXErrors"]),
            Point("loads", "ModelLoadingTime", "SampleCount", loads.astype(float)),
            Point("loaded", "LoadedModelCount", "Average", metrics["LoadedModelCount"], per_instance),
            Point("gpu", "GPUUtilization", "Average", metrics["GPUUtilization"], per_instance),
            Point("gpu_mem", "GPUMemoryUtilization", "Average", metrics["GPUMemoryUtilization"], per_instance),
            Point("n", "CPUUtilization", "SampleCount", metrics["instances_serving"], per_instance)]


def write_json(path: Path, document: Any) -> Path:
    """The document in a file."""
    path.write_text(json.dumps(document))
    return path


# ---- a live journal's world


def plain_models(n: int) -> tuple[ModelSpec, ...]:
    """Models of various sizes that share no framework's memory."""
    return tuple(replace(model, framework_base_bytes=0) for model in models(n))


def world_as_scenario(folder: Path, known: tuple[ModelSpec, ...], *, gpu_mb: int, eviction: str) -> str:
    """The world of :mod:`live_world` (one server; all times exponential) as somebody who knows it would write it."""
    profile = PROFILE.format(device="T4", gpu_bytes="1B").replace("infer: 10ms", "infer: 20ms").replace(
        "value: 1s", "value: 300ms")
    (folder / "sleeps.yaml").write_text(profile)
    groups = [{"profile": "live", "name": model.name, "gpu_bytes": f"{model.gpu_bytes}B", "host_bytes":
               f"{model.host_bytes}B", "artifact_bytes": f"{model.artifact_bytes}B", "disk_bytes":
               f"{model.disk_bytes}B", "load_time": "0.3s", "service_law": {"law": "exponential"}} for model in known]
    device = {"gpu": "T4", "gpu_count": 1, "gpu_bytes": f"{gpu_mb}MiB"}
    room = {"vcpus": 1024, "ram_bytes": "128GiB", "disk_bytes": "8GiB", "network_baseline_bps": FAST,
            "network_burst_bps": FAST, **device}
    server = {"unload_poll": "1ms", "load_time_cv": 1.0, "unload_time": {"law": "exponential", "mean": "50ms"},
              "interference": 0, "gpu_memory_threshold": 1, "idle_gpu_bytes": 0}
    storage = {"s3_connections": 64, "s3_connection_rate": FAST, "extract_rate": FAST,
               "s3_first_byte": {"law": "exponential", "mean": "500ms"}}
    scenario = {"name": "world", "seed": 1, "instance_types": {"own": room}, "profiles": {"live": "sleeps.yaml"},
                "endpoint": {"instance_type": "own", "instances": 1, "eviction": {"gpu": eviction}, "server": server,
                             "storage": storage},
                "models": groups, "workload": {"arrivals": {"use": "poisson", "rate_rps": 1}}}
    return scenario_file(folder, yaml.safe_dump(scenario))
