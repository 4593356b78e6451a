"""A Triton server on free loopback ports, with explicit model control, that never outlives this program."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmesim.errors import InputError, Problem
from mmesim.triton.client import TritonClient
from mmesim.triton.processes import started

START_S = 90.0
LOCAL = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Where the server listens."""

    http: int
    grpc: int
    metrics: int


@dataclass(frozen=True)
class TritonServer:
    """A running server. `pid` is None for one that was started elsewhere."""

    http_url: str
    grpc_url: str
    metrics_url: str
    pid: int | None = None

    def client(self) -> TritonClient:
        """A new connection to it."""
        return TritonClient(self.http_url)


def free_ports(count: int) -> list[int]:
    """Ports that were free on the loopback a moment ago, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOCAL, 0))
        return [int(one.getsockname()[1]) for one in sockets]


def server_command(program: Path, repository: Path, ports: Ports, arguments: Sequence[str] = ()) -> list[str]:
    """How a server is started that listens on the loopback only and loads nothing by itself."""
    return [str(program), f"--model-repository={repository}", "--model-control-mode=explicit", "--exit-timeout-secs=5",
            f"--http-address={LOCAL}", f"--grpc-address={LOCAL}", f"--metrics-address={LOCAL}",
            f"--http-port={ports.http}", f"--grpc-port={ports.grpc}", f"--metrics-port={ports.metrics}",
            "--allow-sagemaker=false", "--allow-vertex-ai=false", *arguments]


@contextmanager
def running_server(program: Path, repository: Path, *, mark: str, log: Path, arguments: Sequence[str] = (),
                   env: Mapping[str, str] | None = None) -> Iterator[TritonServer]:
    """A server over `repository` in which nothing is loaded yet; ended, with its stubs, at the end.

    Raises InputError with the end of its log when it does not become ready.
    """
    ports = Ports(*free_ports(3))
    command = server_command(program, repository, ports, arguments)
    with started(command, mark, log, env) as process:
        server = TritonServer(f"http://{LOCAL}:{ports.http}", f"{LOCAL}:{ports.grpc}",
                              f"http://{LOCAL}:{ports.metrics}/metrics", process.pid)
        client = server.client()
        deadline_s = time.monotonic() + START_S
        while not client.is_ready():
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise InputError(Problem(f"{program} does not start", file=str(log), hint=tail(log)))
            time.sleep(0.05)
        client.close()
        yield server


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log."""
    return "\n    ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
