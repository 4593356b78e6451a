"""Builds Model Analyzer checkpoints in the forms of its releases, from measurements, for the tests of the importer.

The forms follow checkpoints kept in triton-inference-server/model_analyzer (tests/common, experiments/data):
``current`` has `_model_config_variant`, ``2022`` has `_model_config`, whose name is the variant.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

UUID = "GPU-8557549f-9c89-4384-8bd6-1fd823c342e0"
ADD_SUB = {"perf_latency_avg": 0.397, "perf_latency_p90": 0.463, "perf_latency_p95": 0.488, "perf_latency_p99": 0.539,
           "perf_throughput": 2508.04, "perf_client_send_recv": 0.004, "perf_client_response_wait": 0.382,
           "perf_server_queue": 0.019, "perf_server_compute_infer": 0.064, "perf_server_compute_input": 0.035,
           "perf_server_compute_output": 0.042}
"""Model Analyzer's add_sub at batch 1, concurrency 1 (tests/common/single-model-ckpt): ms and inferences a second."""
GPU = {"gpu_used_memory": 872.415232, "gpu_free_memory": 24897.388544, "gpu_utilization": 2.0,
       "gpu_power_usage": 56.1825}


@dataclass
class Model:
    """One model of a measurement, and what was measured of it."""

    name: str = "add_sub"
    variant: str = "add_sub_config_default"
    config: dict[str, Any] = field(default_factory=lambda: {
        "platform": "pytorch_libtorch", "maxBatchSize": 8, "instanceGroup": [{"kind": "KIND_GPU"}]})
    metrics: dict[str, float] = field(default_factory=lambda: dict(ADD_SUB))
    batch: int = 1
    concurrency: int | None = 1
    rate: int | None = None
    composing: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@dataclass
class Measurement:
    """One measurement: of one model, or of several together."""

    models: list[Model] = field(default_factory=lambda: [Model()])
    gpus: dict[str, dict[str, float]] = field(default_factory=lambda: {UUID: dict(GPU)})
    extra: str = ""


def checkpoint(measurements: list[Measurement], *, form: str = "current", idle: dict[str, float] | None = None,
               devices: dict[str, str] | None = None, indent: int | None = None) -> str:
    """A checkpoint's text."""
    results: dict[str, Any] = {}
    for one in measurements:
        names, variants = (",".join(getattr(model, key) for model in one.models) for key in ("name", "variant"))
        pair = results.setdefault(names, {}).setdefault(variants, [_run(one, form), {}])
        pair[1][_key(one, form)] = _measurement(one, variants, form)
    devices = {UUID: "NVIDIA TITAN RTX"} if devices is None else devices
    idle = {UUID: 870.318080} if idle is None else idle
    root: dict[str, Any] = {
        "ResultManager.results": {"_results": results},
        "ResultManager.server_only_data": {uuid: _tagged({"gpu_used_memory": used, "gpu_utilization": 0.0}, uuid)
                                           for uuid, used in idle.items()},
        "MetricsManager.gpus": {uuid: {"name": name, "total_memory": 25387401216} for uuid, name in devices.items()}}
    if form == "current":
        root["ModelManager.model_variant_name_manager"] = {"_model_config_dicts": {}, "_model_name_index": {}}
    return json.dumps(root, indent=indent)


def _run(one: Measurement, form: str) -> dict[str, Any]:
    runs = []
    for model in one.models:
        run: dict[str, Any] = {"_model_name": model.name,
                               "_perf_config": {"_args": {"concurrency-range": model.concurrency}}}
        if form == "current":
            run["_model_config_variant"] = {"model_config": {"name": model.name, **model.config},
                                            "variant_name": model.variant, "cpu_only": False}
            run["_composing_config_variants"] = [
                {"model_config": config, "variant_name": name, "cpu_only": False} for name, config in model.composing]
        else:
            run["_model_config"] = {"name": model.variant, **model.config, "cpu_only": False}
            run["_ensemble_composing_configs"] = [{"name": name, **config} for name, config in model.composing]
        runs.append(run)
    return {"_triton_env": {}, "_model_run_configs": runs}


def _key(one: Measurement, form: str) -> str:
    parts = []
    for model in one.models:
        load = f"--request-rate-range={model.rate}" if model.rate else f"--concurrency-range={model.concurrency}"
        start = f"{model.variant} -m {model.name}" if form == "current" else f"-m {model.variant}"
        parts.append(f"{start} -b {model.batch} -i grpc -f {model.name}-results.csv --verbose-csv {load} "
                     f"--measurement-mode=count_windows --collect-metrics{one.extra}")
    return "".join(parts)


def _measurement(one: Measurement, variants: str, form: str) -> dict[str, Any]:
    parts = []
    for model in one.models:
        params: dict[str, Any] = {"batch-size": model.batch, "concurrency-range": model.concurrency}
        if form == "current":
            params["request-rate-range"] = model.rate
        metrics = _tagged(model.metrics)
        part = {"_model_config_name": model.name if form == "current" else model.variant,
                "_model_specific_pa_params": params, "_non_gpu_data": metrics,
                "_non_gpu_data_from_tag": {pair[0]: pair for pair in metrics}}
        parts.append(part if form == "current" else part | {"_metric_weights": {"perf_throughput": 1}})
    whole = {"_model_variants_name": variants,
             "_gpu_data": {uuid: _tagged(gpu, uuid) for uuid, gpu in one.gpus.items()}, "_avg_gpu_data": [],
             "_avg_gpu_data_from_tag": {}, "_model_config_measurements": parts}
    return whole if form == "current" else whole | {"_model_config_weights": [1] * len(parts)}


def _tagged(values: dict[str, float], uuid: str | None = None) -> list[list[Any]]:
    extra = {} if uuid is None else {"_device_uuid": uuid}
    return [[tag, {"_value": value, "_timestamp": 0, **extra}] for tag, value in values.items()]
