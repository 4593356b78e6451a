"""A live endpoint to try: twelve small models and a settings file, for a laptop without GPU and AWS."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from mmesim.errors import InputError, Problem
from mmesim.triton.example import ExampleModel, sleeping, write_example

MODELS = 12
CONFIG = """\
# A multi-model endpoint on this machine: `mmesim live serve live.yaml`, then for instance
#
#   curl -H 'X-Amzn-SageMaker-Target-Model: sleepy-03' --data @request.json \\
#        http://127.0.0.1:8080/endpoints/try-it/invocations
#
# There is room for four of the twelve models: the fifth makes one leave. http://127.0.0.1:8081/state tells which.
name: try-it
endpoint:
  instances: 1                                # up to {min: 1, initial: 1, max: 3} with `autoscaling`, as in a scenario
  eviction: {gpu: lru, disk: lru}             # `mmesim policies` lists them; those of a scenario, word for word
  server: {load_threads: 2, invocation_timeout: 30s}
capacity: {host_memory: 400MiB, disk: 1GiB}   # with a GPU: gpu_memory
store: {source: models}                       # or s3://bucket/prefix
models:
  rules:
    - {match: "sleepy-*", host_memory: 95MiB, load_time: 1s, service_time: 15ms}
gateway: {port: 8080, grpc_port: 8082}
management: {port: 8081}
"""
REQUEST = """\
{"inputs": [{"name": "INPUT", "shape": [1, 16], "datatype": "FP32",
             "data": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]}]}
"""


def write_live_example(folder: Path) -> Path:
    """Writes models, ``live.yaml`` and ``request.json`` into `folder`, which must be new or empty; returns the settings
    file. Raises InputError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(Problem("is there already, and not empty", file=str(folder), hint="name a new folder"))
    loose = write_example(folder / "loose", {f"sleepy-{i:02}": _model(i) for i in range(MODELS)})
    archives = folder / "models"
    archives.mkdir()
    for model in sorted(loose.iterdir()):
        with tarfile.open(archives / f"{model.name}.tar.gz", "w:gz", compresslevel=1) as tar:
            tar.add(model, arcname="")
    shutil.rmtree(loose)
    (folder / "request.json").write_text(REQUEST, encoding="utf-8")
    settings = folder / "live.yaml"
    settings.write_text(CONFIG, encoding="utf-8")
    return settings


def _model(number: int) -> ExampleModel:
    """Each takes a little longer than the one before."""
    return sleeping(10 + number, 1, load_ms=300, device="", weights_bytes=2 << 20)
