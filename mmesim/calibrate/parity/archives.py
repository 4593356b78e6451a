"""Real models for a scenario's: python-backend archives of the same size, memory, load time and service time."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmesim.scenario.build import BuiltModel
from mmesim.triton.example import ExampleModel, write_model

OVERHEAD_BYTES = 4096
"""What an archive holds besides the weights: configuration, program, headers."""


def write_archives(models: Sequence[BuiltModel], folder: Path) -> list[Path]:
    """``<name>.tar.gz`` for each model. Their weights are random, so that the archive is as large as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_archive(model, number, folder) for number, model in enumerate(models)]


def _archive(model: BuiltModel, number: int, folder: Path) -> Path:
    loose = folder / f".{model.spec.name}"
    weights = np.random.default_rng(number).bytes(max(0, model.spec.artifact_bytes - OVERHEAD_BYTES))
    write_model(loose, example_of(model), weights)
    archive = folder / f"{model.spec.name}.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for path in sorted(loose.rglob("*"), reverse=True):
            tar.add(path, path.relative_to(loose), recursive=False)
            path.unlink() if path.is_file() else path.rmdir()
    loose.rmdir()
    return archive


def example_of(model: BuiltModel) -> ExampleModel:
    """What stands for the model: a process that waits where a GPU would work."""
    service = model.service
    times_ms = [f"{service_ns / 1e6:.3f}" for service_ns in service.service_ns[1:].tolist()]
    parameters = {"load_ms": f"{1e3 * (model.load_s or 0.0):.0f}", "service_ms": ",".join(times_ms),
                  "memory_bytes": model.actual_gpu_bytes or model.actual_host_bytes}
    return ExampleModel("profiled", parameters, max_batch_size=service.max_batch, instance_count=service.instance_count)
