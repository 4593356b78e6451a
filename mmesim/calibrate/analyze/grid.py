"""Latency and throughput over batch size, concurrency and instance count: Model Analyzer does it, with Perf Analyzer.

Its search is switched off: the grid is the user's. Its checkpoint continues where a killed run stopped. In local mode
it starts its own server, and measures one variant of the configuration for each instance count; in remote mode it
measures what the running server has.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from mmesim.calibrate.analyze.bench import Bench
from mmesim.calibrate.analyze.device import has_gpu
from mmesim.calibrate.analyze.settings import AnalyzeSettings, digest
from mmesim.errors import InputError, Problem
from mmesim.profile.model import ON_CPU
from mmesim.triton.processes import started
from mmesim.triton.server import LOCAL, free_ports, tail
from mmesim.triton.tools import Tools

STABILITY_PERCENT = 15
SERVER_ONLY_S = 3
_SHAPES = "shape"


def grid_points(settings: AnalyzeSettings) -> int:
    """Operating points that are measured of one model."""
    return len(settings.batch_sizes) * len(settings.concurrencies) * max(1, len(settings.instance_counts))


def measure_grid(bench: Bench, model: str) -> dict[str, Any]:
    """Runs Model Analyzer over the grid. Gives {checkpoint}: a path relative to the run's folder.

    Raises InputError with the end of its log when it fails.
    """
    folder = _analyzer_folder(bench.settings, model)
    for name in ("checkpoints", "repository"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if not bench.settings.url:
        bench.close_server()
    config = folder.absolute() / "config.yaml"
    config.write_text(yaml.safe_dump(analyzer_config(bench.settings, bench.tools, model, folder)), encoding="utf-8")
    log = folder / "model-analyzer.log"
    with started([bench.tools.model_analyzer, "profile", "-v", "-f", config], bench.mark, log, cwd=folder) as process:
        code = process.wait()
    checkpoint = max(folder.glob("checkpoints/*.ckpt"), key=lambda path: int(path.stem), default=None)
    if code or checkpoint is None:
        raise InputError(Problem(f"model-analyzer ended with code {code}", file=str(log), hint=tail(log)))
    return {"checkpoint": str(checkpoint.relative_to(bench.settings.folder))}


def _analyzer_folder(settings: AnalyzeSettings, model: str) -> Path:
    """Where Model Analyzer works; one folder for each state of the model's files, since it goes on with what it finds.

    A checkpoint that it was killed in the midst of writing is taken away.
    """
    state = digest(settings.model_folder(model))[:8] if settings.repository else "remote"
    folder = settings.folder / "model-analyzer" / f"{model}-{state}"
    for checkpoint in folder.glob("checkpoints/*.ckpt"):
        try:
            json.loads(checkpoint.read_text(encoding="utf-8"))
        except ValueError:
            checkpoint.unlink()
    return folder


def analyzer_config(settings: AnalyzeSettings, tools: Tools, model: str, folder: Path) -> dict[str, Any]:
    """Model Analyzer's configuration file for one model (docs/config.md of triton-inference-server/model_analyzer)."""
    gpu = settings.gpu != ON_CPU if settings.url else has_gpu()
    flags = {"measurement-mode": "time_windows", "measurement-interval": round(1e3 * settings.window_s),
             "stability-percentage": STABILITY_PERCENT}
    if settings.shapes:
        flags[_SHAPES] = [f"{name}:{','.join(map(str, shape))}" for name, shape in settings.shapes.items()]
    profiled: dict[str, Any] = {
        "cpu_only": not gpu, "perf_analyzer_flags": flags,
        "parameters": {"batch_sizes": _possible_sizes(settings, model), "concurrency": list(settings.concurrencies)}}
    if counts := _other_counts(settings, model):
        group = {"kind": "KIND_GPU" if gpu else "KIND_CPU", "count": counts}
        profiled["model_config_parameters"] = {"instance_group": [group]}
    return {
        "profile_models": {model: profiled}, "run_config_search_disable": True, "client_protocol": "grpc",
        "checkpoint_directory": str(folder.absolute() / "checkpoints"), "export_path": str(folder.absolute()),
        "gpus": ["all"] if gpu else [], "skip_summary_reports": True, "skip_detailed_reports": True,
        "duration_seconds": SERVER_ONLY_S, "perf_analyzer_path": str(tools.perf_analyzer),
        **(_remote(settings) if settings.url else _local(settings, tools, folder.absolute()))}


def _local(settings: AnalyzeSettings, tools: Tools, folder: Path) -> dict[str, Any]:
    assert settings.repository is not None
    http, grpc, metrics = free_ports(3)
    return {"triton_launch_mode": "local", "triton_server_path": str(tools.server),
            "model_repository": str(settings.repository.absolute()),
            "output_model_repository_path": str(folder / "repository"), "override_output_model_repository": True,
            "triton_output_path": str(folder / "server.log"), "triton_http_endpoint": f"localhost:{http}",
            "triton_grpc_endpoint": f"localhost:{grpc}", "triton_metrics_url": f"http://localhost:{metrics}/metrics",
            "triton_server_flags": {"http-address": LOCAL, "grpc-address": LOCAL, "metrics-address": LOCAL,
                                    "metrics-port": metrics}}


def _remote(settings: AnalyzeSettings) -> dict[str, Any]:
    return {"triton_launch_mode": "remote", "triton_http_endpoint": settings.url.rpartition("//")[2],
            "triton_grpc_endpoint": settings.grpc_url, "triton_metrics_url": settings.metrics_url}


def _possible_sizes(settings: AnalyzeSettings, model: str) -> list[int]:
    """The batch sizes of the grid that the model's configuration allows, where it says so."""
    most = _configured(settings, model, r"^\s*max_batch_size\s*:\s*(\d+)")
    return [size for size in settings.batch_sizes if most is None or size <= max(1, most)] or [1]


def _other_counts(settings: AnalyzeSettings, model: str) -> list[int]:
    """Instance counts of the grid besides the model's own, which Model Analyzer measures in any case."""
    if settings.url:
        return []
    own = _configured(settings, model, r"\binstance_group\b.*?\bcount\s*:\s*(\d+)") or 1
    return [count for count in settings.instance_counts if count != own]


def _configured(settings: AnalyzeSettings, model: str, pattern: str) -> int | None:
    """A number in the model's config.pbtxt; None without such a file or line."""
    config = settings.model_folder(model) / "config.pbtxt" if settings.repository else None
    found = re.search(pattern, config.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE) \
        if config and config.is_file() else None
    return int(found[1]) if found else None
