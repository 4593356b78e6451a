"""A small model repository to try things on without a GPU: two models that sleep like a GPU, two that compute."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmesim.errors import InputError, Problem

ITEM_VALUES = 16
"""FP32 numbers in one item of a request."""
SEED = 7

CONFIG = """\
name: "{name}"
backend: "python"
max_batch_size: {max_batch_size}
input [{{ name: "INPUT" data_type: TYPE_FP32 dims: [ {values} ] }}]
output [{{ name: "OUTPUT" data_type: TYPE_FP32 dims: [ {values} ] }}]
instance_group [{{ count: {instance_count} kind: KIND_CPU }}]
dynamic_batching {{ max_queue_delay_microseconds: 0 }}
{parameters}"""


@dataclass(frozen=True)
class ExampleModel:
    """One python-backend model: which of `triton/models`, with which parameters."""

    kind: str
    """``sleeping``, ``computing`` or ``profiled``."""
    parameters: Mapping[str, object] = field(default_factory=dict)
    weights_bytes: int = 4 << 20
    max_batch_size: int = 8
    instance_count: int = 1


def sleeping(base_ms: float, item_ms: float, *, load_ms: float = 200, device: str = "gpu0",
             **settings: int) -> ExampleModel:
    """A batch of b items sleeps base + b·item, one after another with all other models of its `device`."""
    parameters = {"base_ms": base_ms, "item_ms": item_ms, "load_ms": load_ms, "device": device}
    return ExampleModel("sleeping", parameters, **settings)


def computing(size: int, layers: int) -> ExampleModel:
    """Each item goes through `layers` products with a `size` × `size` matrix."""
    return ExampleModel("computing", {"layers": layers}, weights_bytes=4 * size * size)


EXAMPLE = {"sleep-small": sleeping(4, 1), "sleep-large": sleeping(10, 2.5, load_ms=500, weights_bytes=32 << 20),
           "matmul-small": computing(512, 8), "matmul-large": computing(2048, 4)}


def write_example(folder: Path, models: Mapping[str, ExampleModel] = EXAMPLE) -> Path:
    """Writes a model repository with these models into `folder`, which must be new or empty, and returns it."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(Problem("is there already, and not empty", file=str(folder), hint="name a new folder"))
    rng = np.random.default_rng(SEED)
    for name, model in models.items():
        values = rng.standard_normal(model.weights_bytes // 4) / model.weights_bytes ** 0.25
        write_model(folder / name, model, values.astype(np.float32).tobytes())
    return folder


def write_model(folder: Path, model: ExampleModel, weights: bytes) -> None:
    """Writes one model's folder, which must be new."""
    version = folder / "1"
    version.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "models" / f"{model.kind}.py", version / "model.py")
    (version / "weights.bin").write_bytes(weights)
    parameters = "".join(f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}\n'
                         for key, value in model.parameters.items())
    (folder / "config.pbtxt").write_text(CONFIG.format(
        name=folder.name, max_batch_size=model.max_batch_size, values=ITEM_VALUES,
        instance_count=model.instance_count, parameters=parameters), encoding="utf-8")
