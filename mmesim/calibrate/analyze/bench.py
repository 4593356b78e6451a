"""The bench: the server that steps measure on, and the load they put on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmesim.calibrate.analyze.settings import AnalyzeSettings, write_scratch_repository
from mmesim.errors import InputError, Problem
from mmesim.triton.client import Request, TritonClient, TritonError, connected
from mmesim.triton.processes import end_marked
from mmesim.triton.server import TritonServer, running_server
from mmesim.triton.tools import Tools, find_server, find_tools

SETTLE_S = 0.3


class Bench:
    """Opens what steps need, once, and closes it at the end: ``with Bench(settings) as bench``."""

    def __init__(self, settings: AnalyzeSettings) -> None:
        self.settings = settings
        self.mark = f"analyze {settings.folder.absolute()}"
        self._stack = ExitStack()
        self._shared: TritonServer | None = None

    def __enter__(self) -> Bench:
        end_marked(self.mark)  # what a killed run of this folder may have left behind
        self._stack.callback(end_marked, self.mark)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stack.close()

    @cached_property
    def tools(self) -> Tools:
        """The programs. Raises InputError when one is missing."""
        return find_tools(self.settings.server_program, elsewhere=bool(self.settings.url))

    @cached_property
    def repository(self) -> Path:
        """Links to the models and their copies."""
        return write_scratch_repository(self.settings)

    @cached_property
    def triton_version(self) -> str:
        """The server's version."""
        with connected(self.server().http_url) as client:
            return client.version()

    def server(self) -> TritonServer:
        """The server of the steps that share one; nothing is loaded between steps."""
        if self._shared is None:
            self._shared = self._stack.enter_context(self._remote() if self.settings.url else self._started())
        return self._shared

    @contextmanager
    def fresh_server(self) -> Iterator[TritonServer]:
        """A server that has never loaded anything, for one step; the shared one is closed for it."""
        self.close_server()
        with self._started() as server:
            yield server

    def close_server(self) -> None:
        """Ends the shared server: another step wants the machine for itself."""
        if self._shared is not None and not self.settings.url:
            self._stack.pop_all().close()
            self._stack.callback(end_marked, self.mark)
            self._shared = None

    @contextmanager
    def _started(self) -> Iterator[TritonServer]:
        program = find_server(self.settings.server_program)
        log = self.settings.folder / "server.log"
        with running_server(program, self.repository, mark=self.mark, log=log) as server:
            yield server

    @contextmanager
    def _remote(self) -> Iterator[TritonServer]:
        server = TritonServer(self.settings.url, self.settings.grpc_url, self.settings.metrics_url)
        with connected(server.http_url) as client:
            if not client.is_ready():
                raise InputError(Problem(f"no Triton server answers at {server.http_url}", path="--url",
                                         hint="start it with --model-control-mode=explicit"))
        yield server

    @contextmanager
    def loaded(self, server: TritonServer, *models: str) -> Iterator[TritonClient]:
        """A client of the server while these models are loaded, each warmed up with an inference."""
        with connected(server.http_url) as client:
            try:
                for model in models:
                    client.load(model)
                    client.infer(self.request(client, model))
                yield client
            finally:
                for model in models:
                    client.unload(model)

    def request(self, client: TritonClient, model: str, batch_size: int = 1) -> Request:
        """A request for the model."""
        return client.request(model, batch_size, self.settings.shapes)


@dataclass
class ClosedLoop:
    """`concurrency` users who each send a request as soon as the answer to the last one is there."""

    client: TritonClient
    request: Request
    concurrency: int
    _spans: list[list[tuple[float, float]]] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _faults: list[TritonError] = field(default_factory=list)

    def __enter__(self) -> ClosedLoop:
        self._spans = [[] for _ in range(self.concurrency)]
        self._threads = [threading.Thread(target=self._send, args=(spans,), daemon=True) for spans in self._spans]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self, spans: list[tuple[float, float]]) -> None:
        with connected(self.client.url) as client:
            try:
                while not self._stop.is_set():
                    started_s = time.perf_counter()
                    spans.append((started_s, started_s + client.infer(self.request)))
            except TritonError as error:
                self._faults.append(error)

    def spans(self) -> NDArray[np.float64]:
        """(n, 2): begin and end of each answered request, by `time.perf_counter`. Raises TritonError if one failed."""
        if self._faults:
            raise self._faults[0]
        rows = [span for spans in self._spans for span in list(spans)]
        return np.array(rows, float).reshape(-1, 2)


def throughput_rps(spans: NDArray[np.float64], begin_s: float, end_s: float) -> float:
    """Answers a second in a window; a request that reaches beyond an edge counts with its part inside.

    Parts instead of whole requests: few of them fit into a short window.
    """
    inside = np.clip(np.minimum(spans[:, 1], end_s) - np.maximum(spans[:, 0], begin_s), 0, None)
    return float((inside / (spans[:, 1] - spans[:, 0])).sum() / (end_s - begin_s))


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Median, runs, min, max of repeated measurements, and the values themselves."""
    every = [float(value) for value in values]
    return {"value": float(np.median(every)), "runs": len(every), "min": min(every), "max": max(every), "all": every}
