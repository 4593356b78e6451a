"""Model Analyzer's checkpoints: JSON with every metric of every measurement.

Read are the generations from 2022 (``_model_config``) to now (``_model_config_variant``). Values are in ms, 10^6 bytes
and percent. In a model configuration (protobuf as JSON, in either spelling) an instance group without `count` is one
instance, no group is one instance, and ``dynamicBatching: {}`` is enabled. There is no p50 and no network time in a
checkpoint; the network is what the mean latency has besides the client's and the server's parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmesim.errors import InputError, Problem
from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers.naming import backend_name, gpu_name
from mmesim.profile.readers.reading import GpuUse, Reading, fullest, source_name
from mmesim.profile.readers.source import figures, total_s
from mmesim.profile.readers.tree import Node

KIND = "Model Analyzer checkpoint"
RESULTS, IDLE, GPUS = "ResultManager.results", "ResultManager.server_only_data", "MetricsManager.gpus"
TAGS = {
    **figures("", "1", throughput_per_s="perf_throughput"),
    **figures("", "1e-3", latency_s="perf_latency_avg", p90_s="perf_latency_p90", p95_s="perf_latency_p95",
              p99_s="perf_latency_p99", send_recv_s="perf_client_send_recv", queue_s="perf_server_queue",
              compute_input_s="perf_server_compute_input", compute_infer_s="perf_server_compute_infer",
              compute_output_s="perf_server_compute_output"),
    **figures("", "1e6", ram_bytes="cpu_used_ram"),
}
GPU_TAGS = {**figures("", "1e6", gpu_bytes="gpu_used_memory"), **figures("", "1e-2", gpu_utilization="gpu_utilization")}
STAGES = ("send_recv_s", "queue_s", "compute_input_s", "compute_infer_s", "compute_output_s")
COMPOSING = ("_composing_config_variants", "_composing_configs", "_ensemble_composing_configs", "_ensemble_subconfigs",
             "_bls_composing_configs")
ROUNDING = 0.05
"""Parts of the mean latency may exceed it by this much of it before they are taken for parts of something else."""
NETWORKED = re.compile(r"(?:^|\s)-i (grpc|http)\b", re.IGNORECASE)
EXTRA = re.compile(r"--(?:shared-memory|request-distribution)=\S+")
SHAPE = re.compile(r"--shape[= ](\S+)")


@dataclass(frozen=True)
class _Config:
    """What the checkpoint says of one model's configuration in a run."""

    fields: dict[str, Any]
    kinds: set[str]
    """``KIND_GPU``, ``KIND_CPU``, as far as it is written."""
    note: str

    @property
    def model(self) -> str:
        """The model's name, without the variant."""
        return str(self.fields["model"])


@dataclass(frozen=True)
class _Machine:
    """What the checkpoint says of the machine as a whole."""

    names: dict[str, str]
    idle: dict[str, int]
    no_gpu: bool


def is_checkpoint(root: Node) -> bool:
    """Whether this is Model Analyzer's."""
    return isinstance(root.value, dict) and any(key.startswith("ResultManager.") for key in root.value)


def read_checkpoint(root: Node) -> Reading:
    """All measurements of a checkpoint. Raises InputError with the path of what is wrong."""
    if not is_checkpoint(root):
        keys = ", ".join(list(root.value)[:6]) if isinstance(root.value, dict) else type(root.value).__name__
        raise InputError(Problem(f"is JSON, but no checkpoint: it has {keys or 'nothing'}", file=str(root.path),
                                 hint=f"a checkpoint of Model Analyzer has {RESULTS!r}"))
    machine = _machine(root)
    results = root.need(RESULTS).need("_results")
    points = [point for models, variants in results.items() for names, pair in variants.items()
              for point in _variant_points(models, names, pair, machine)]
    return Reading(root.path, KIND, points, list(_remarks(root, points)))


def _machine(root: Node) -> _Machine:
    gpus, idle = root.get(GPUS), root.get(IDLE)
    names = {uuid: gpu_name(name.text()) for uuid, gpu in (gpus.items() if gpus else ())
             if (name := gpu.get("name")) is not None}
    used = {uuid: _tagged(data, GPU_TAGS).get("gpu_bytes") for uuid, data in (idle.items() if idle else ())}
    return _Machine(names, {uuid: size for uuid, size in used.items() if size is not None},
                    no_gpu=gpus is not None and not names)


def _variant_points(models: str, variants: str, pair: Node, machine: _Machine) -> Iterator[OperatingPoint]:
    halves = pair.elements()
    if len(halves) != 2:
        raise pair.wrong("a pair of run configuration and measurements")
    configs = [_config(run) for run in halves[0].need("_model_run_configs").elements()]
    for key, measurement in halves[1].items():
        parts = measurement.need("_model_config_measurements").elements()
        if len(parts) != len(configs):
            raise measurement.wrong(f"a measurement of {models}, for which there are {len(configs)} configurations")
        gpu = _gpu(measurement, machine)
        loads = [_load(part) for part in parts]
        for n, (part, config) in enumerate(zip(parts, configs, strict=True)):
            others = [m for m in range(len(parts)) if m != n]
            yield OperatingPoint(
                **config.fields, **_device(config, gpu, machine), **loads[n], **_figures(part), **_client(key),
                co_located=tuple(configs[m].model for m in others),
                source=source_name(pair.path), at=f"{variants} | {key}",
                note="; ".join(filter(None, [config.note, *EXTRA.findall(key),
                                             *(_neighbour(configs[m], loads[m]) for m in others)])))


def _config(run: Node) -> _Config:
    variant = run.get("_model_config_variant")
    config = variant.need("model_config") if variant else run.need("_model_config")
    name = variant.need("variant_name") if variant else config.need("name")
    triton = config.get("backend") or config.get("platform")
    composing = [part for key in COMPOSING if (parts := run.get(key)) for part in parts.elements()]
    batcher = config.get("dynamicBatching", "dynamic_batching")
    sizes = batcher.get("preferredBatchSize", "preferred_batch_size") if batcher else None
    limit = config.get("maxBatchSize", "max_batch_size")
    fields: dict[str, Any] = {
        "model": run.need("_model_name").text(), "variant": name.text(),
        "backend": backend_name(triton.text()) if triton else "", "max_batch_size": limit.count() if limit else 0,
        "dynamic_batching": batcher is not None,
        "preferred_batch_sizes": tuple(size.count(1) for size in sizes.elements()) if sizes else ()}
    note = f"composed of {', '.join(map(_part, composing))}" if composing else ""
    if triton and triton.value == "ensemble":  # it has no instances and no batcher of its own
        return _Config(fields | {"max_batch_size": None, "dynamic_batching": None}, set(), note)
    instances, kinds = _instances(config)
    return _Config(fields | {"instance_count": instances}, kinds, note)


def _part(part: Node) -> str:
    """Name of a composing model's variant, with its instances."""
    config = part.get("model_config") or part
    return f"{(part.get('variant_name') or config.need('name')).text()} x {_instances(config)[0]}"


def _instances(config: Node) -> tuple[int, set[str]]:
    """Number of instances, and where they run."""
    groups = config.get("instanceGroup", "instance_group")
    found = groups.elements() if groups else []
    counts = [count.count(1) if (count := group.get("count")) else 1 for group in found]
    return sum(counts) if found else 1, {kind.text() for group in found if (kind := group.get("kind"))}


def _device(config: _Config, gpu: dict[str, Any], machine: _Machine) -> dict[str, Any]:
    """Fields of where the model runs: on the CPU if its instances do, or if there is nothing else."""
    on_cpu = config.kinds == {"KIND_CPU"} or (machine.no_gpu and "KIND_GPU" not in config.kinds)
    return {"gpu": "cpu"} if on_cpu else gpu


def _gpu(measurement: Node, machine: _Machine) -> dict[str, Any]:
    """Fields of the GPU that stands for a measurement."""
    data = measurement.get("_gpu_data")
    uses = []
    for uuid, tags in data.items() if data else ():
        found = _tagged(tags, GPU_TAGS)
        uses.append(GpuUse(uuid, found.get("gpu_bytes"), found.get("gpu_utilization")))
    use = fullest(uses)
    return {"gpu": machine.names.get(use.uuid, ""), "gpu_bytes": use.used_bytes, "gpu_utilization": use.utilization,
            "idle_gpu_bytes": machine.idle.get(use.uuid)}


def _load(part: Node) -> dict[str, Any]:
    params = part.need("_model_specific_pa_params")
    batch, concurrency, rate = (params.get(f"{name}") for name in ("batch-size", "concurrency-range",
                                                                   "request-rate-range"))
    return {"batch_size": batch.count(1) if batch else 1, "concurrency": concurrency.count(1) if concurrency else None,
            "request_rate_rps": float(rate.number()) if rate else None}


def _figures(part: Node) -> dict[str, Any]:
    found = _tagged(part.need("_non_gpu_data"), TAGS)
    if "latency_s" in found and all(stage in found for stage in STAGES):
        rest = total_s([found["latency_s"], *(-found[stage] for stage in STAGES)])
        if rest >= -ROUNDING * found["latency_s"]:
            found["network_s"] = max(0.0, rest)
    return found


def _tagged(tags: Node, known: dict[str, Any]) -> dict[str, Any]:
    """Field -> figure of a list of ``[tag, {"_value": ...}]``."""
    found = {}
    for pair in tags.elements():
        halves = pair.elements()
        if len(halves) != 2:
            raise pair.wrong("a pair of tag and record")
        figure = known.get(halves[0].text())
        if figure and (value := halves[1].get("_value")) is not None:
            found[figure.field] = figure.value(value.number())
    return found


def _client(key: str) -> dict[str, Any]:
    """What the command line tells of the load generator."""
    return {"scenario": "online" if NETWORKED.search(key) else "", "input": " ".join(SHAPE.findall(key))}


def _neighbour(config: _Config, load: dict[str, Any]) -> str:
    rate = f"concurrency {load['concurrency']}" if load["concurrency"] else f"request rate {load['request_rate_rps']}"
    return f"with {config.model}, {config.fields['variant']}, batch {load['batch_size']}, {rate}"


def _remarks(root: Node, points: list[OperatingPoint]) -> Iterator[str]:
    name = source_name(root.path)
    if not points:
        yield f"{name} holds no measurement yet"
    bare = sum(point.gpu_bytes is None and point.gpu != "cpu" for point in points)
    if bare:
        yield f"{name}: {bare} of {len(points)} points have no GPU memory (a run without GPU metrics)"
    if any(point.gpu_bytes is not None and point.idle_gpu_bytes is None for point in points):
        yield f"{name}: the memory of the idle server (server-only data) is unknown"
