"""The real world of a parity run: an S3-compatible server with the models' archives, and `mmesim live serve` in a
process of its own, which starts real Triton servers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mmesim.errors import InputError, Problem
from mmesim.scenario.build import Build
from mmesim.triton.processes import started
from mmesim.triton.server import LOCAL, free_ports, tail

BUCKET, PREFIX = "parity", "models"
READY_S = 60.0
POLL_S = 0.05
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "parity", "AWS_SECRET_ACCESS_KEY": "parity", "AWS_DEFAULT_REGION": "us-east-1"}
"""Any will do: the S3 server is our own."""


@dataclass(frozen=True)
class Served:
    """A live endpoint that answers."""

    url: str
    name: str
    journal: Path
    pid: int


@contextmanager
def s3_server(archives: Sequence[Path], folder: Path) -> Iterator[str]:
    """The URL of an S3-compatible server (moto) that holds the archives."""
    try:
        import boto3
        import moto.server  # noqa: F401
    except ImportError as error:
        raise InputError(Problem(f"parity needs {error.name}", hint="pip install 'mmesim[parity]'")) from error
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "moto.server", "-H", LOCAL, "-p", str(port)]
    with started(command, f"parity s3 {os.getpid()}", folder / "s3.log"):
        url = f"http://{LOCAL}:{port}"
        _until(lambda: _listens(port), "the S3 server", folder / "s3.log")
        keys = {"aws_access_key_id": "parity", "aws_secret_access_key": "parity", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=url, **keys)
        client.create_bucket(Bucket=BUCKET)
        for archive in archives:
            client.upload_file(str(archive), BUCKET, f"{PREFIX}/{archive.name}")
        client.close()
        yield url


@contextmanager
def serving(build: Build, s3_url: str, folder: Path) -> Iterator[Served]:
    """A live endpoint under the scenario's policies and capacities, with nothing loaded and nothing on its disks."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    settings, log = folder / "live.yaml", folder / "serve.log"
    settings.write_text(yaml.safe_dump(live_settings(build, s3_url), sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "mmesim", "live", "serve", str(settings), "--json"]
    environment = {**CREDENTIALS, "PYTHONPATH": os.pathsep.join(sys.path)}
    with started(command, f"parity live {os.getpid()}", log, environment) as process:
        told = _told(process, log)
        port = int(told["kserve"].rpartition(":")[2].partition("/")[0])
        _until(lambda: _is_ready(port), "the endpoint", log)
        time.sleep(SETTLE_S)
        yield Served(f"http://{LOCAL}:{port}", told["endpoint"], Path(told["journal"]), process.pid)


SETTLE_S = 0.5
"""From the first server to all of them."""


def live_settings(build: Build, s3_url: str) -> dict[str, Any]:
    """The settings of a live endpoint that stands for the scenario's."""
    scenario, capacity = build.scenario, build.endpoint.instance
    endpoint = scenario.endpoint.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for policy_file in ("like",):
        endpoint.pop(policy_file, None)
    return {
        "name": scenario.name[:63].replace(".", "-").replace("_", "-"), "seed": build.seed, "endpoint": endpoint,
        "capacity": {name: f"{size}B" for name, size in
                     (("gpu_memory", capacity.gpu_bytes), ("host_memory", max(1, capacity.host_bytes)),
                      ("disk", capacity.disk_bytes))},
        "store": {"source": f"s3://{BUCKET}/{PREFIX}", "s3": {"endpoint_url": s3_url}},
        "models": {"spare": 0, "rules": [_rule(model.spec) for model in build.models]},
        "gateway": {"port": 0}, "management": {"port": 0}, "state": "state", "reconcile": "0s", "list_models": "0s"}


def _rule(spec: Any) -> Mapping[str, Any]:
    return {"match": spec.name, "gpu_memory": f"{spec.gpu_bytes}B", "host_memory": f"{spec.host_bytes}B",
            "load_time": f"{spec.reload_disk_s:.6f}s", "service_time": f"{spec.service_s:.6f}s", "pin": spec.pinned}


def _told(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    """What the endpoint has said of itself when it began to listen: the JSON in its output."""
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s and process.poll() is None:
        text = log.read_text(encoding="utf-8", errors="replace")
        start, end = text.find("{"), text.rfind("\n}")
        if 0 <= start < end:
            told: dict[str, Any] = json.loads(text[start:end + 2])
            return told
        time.sleep(POLL_S)
    raise InputError(Problem("the live endpoint does not start", file=str(log), hint=tail(log)))


def _until(condition: Any, what: str, log: Path) -> None:
    deadline_s = time.monotonic() + READY_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise InputError(Problem(f"{what} does not answer", file=str(log), hint=tail(log)))
        time.sleep(POLL_S)


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOCAL, port), timeout=1).close()
    except OSError:
        return False
    return True


def _is_ready(port: int) -> bool:
    import http.client
    connection = http.client.HTTPConnection(LOCAL, port, timeout=2)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
