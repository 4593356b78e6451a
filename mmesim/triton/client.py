"""Speaks to a Triton server over HTTP: the v2 inference protocol and its extensions for model repository,
configuration, statistics and binary tensors (github.com/kserve/open-inference-protocol, triton-inference-server/server
docs/protocol). One client is one connection: each thread has its own."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np

SIZES = {"TYPE_BOOL": 1, "TYPE_UINT8": 1, "TYPE_INT8": 1, "TYPE_UINT16": 2, "TYPE_INT16": 2, "TYPE_FP16": 2,
         "TYPE_BF16": 2, "TYPE_UINT32": 4, "TYPE_INT32": 4, "TYPE_FP32": 4, "TYPE_UINT64": 8, "TYPE_INT64": 8,
         "TYPE_FP64": 8}
"""Bytes of one element."""
UNLOAD_POLL_S = 0.002
TIMEOUT_S = 600.0


class TritonError(Exception):
    """The server refused, or is not there; the text is its own."""


@dataclass(frozen=True)
class Request:
    """A ready-made inference request: body and the length of its JSON part."""

    path: str
    body: bytes
    json_bytes: int


class TritonClient:
    """One HTTP connection to a server."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        """`url`: ``localhost:8000`` or ``http://host:8000``."""
        self.url = url if "//" in url else f"http://{url}"
        self.timeout_s = timeout_s
        self._connection = self._connect(timeout_s)

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=timeout_s)

    def another(self) -> TritonClient:
        """A client of the same server with a connection of its own."""
        return TritonClient(self.url, self.timeout_s)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def call(self, method: str, path: str, body: bytes | None = None,
             headers: Mapping[str, str] | None = None) -> bytes:
        """The answer's body. Raises TritonError."""
        try:
            self._connection.request(method, path, body, dict(headers or {}))
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise TritonError(f"{self.url}: {error or type(error).__name__}") from error
        if answer.status != http.client.OK:
            raise TritonError(f"{method} {path}: {answer.status} {text.decode(errors='replace')[:500]}")
        return text

    def _json(self, method: str, path: str, value: Any = None) -> Any:
        text = self.call(method, path, None if value is None else json.dumps(value).encode())
        return json.loads(text) if text else None

    def is_ready(self) -> bool:
        """Whether the server answers and serves."""
        try:
            self.call("GET", "/v2/health/ready")
        except TritonError:
            return False
        return True

    def version(self) -> str:
        """The server's version, ``2.51.0``."""
        return str(self._json("GET", "/v2")["version"])

    def states(self) -> dict[str, tuple[str, str]]:
        """Model -> (state, reason): READY, LOADING, UNLOADING, UNAVAILABLE; an empty state: never loaded."""
        rows = self._json("POST", "/v2/repository/index")
        return {row["name"]: (row.get("state", ""), row.get("reason", "")) for row in rows}

    def load(self, model: str) -> float:
        """Loads it, and returns the seconds that took. Raises TritonError."""
        started_s = time.perf_counter()
        self.call("POST", f"/v2/repository/models/{model}/load")
        return time.perf_counter() - started_s

    def unload(self, model: str) -> float:
        """Unloads it, waits until it has gone, and returns the seconds that took."""
        started_s = time.perf_counter()
        self.call("POST", f"/v2/repository/models/{model}/unload")
        while self.states().get(model, ("", ""))[0] not in ("UNAVAILABLE", ""):
            if time.perf_counter() - started_s > self.timeout_s:
                raise TritonError(f"{model} is still unloading after {self.timeout_s:g} s")
            time.sleep(UNLOAD_POLL_S)
        return time.perf_counter() - started_s

    def config(self, model: str) -> dict[str, Any]:
        """The configuration of a loaded model, as JSON."""
        config: dict[str, Any] = self._json("GET", f"/v2/models/{model}/config")
        return config

    def statistics(self, model: str) -> dict[str, Any]:
        """Counts and nanoseconds of a loaded model since its load."""
        rows: dict[str, Any] = self._json("GET", f"/v2/models/{model}/stats")["model_stats"][0]
        return rows

    def request(self, model: str, batch_size: int, shapes: Mapping[str, Sequence[int]]) -> Request:
        """A request of `batch_size` items; `shapes` fills in the dimensions that the model leaves open."""
        return request_for(self.config(model), model, batch_size, shapes)

    def infer(self, request: Request) -> float:
        """Sends a request, and returns the seconds until the answer was read. Raises TritonError."""
        started_s = time.perf_counter()
        self.call("POST", request.path, request.body, {"Inference-Header-Content-Length": str(request.json_bytes),
                                                       "Content-Type": "application/octet-stream"})
        return time.perf_counter() - started_s


def request_for(config: Mapping[str, Any], model: str, batch_size: int, shapes: Mapping[str, Sequence[int]]) -> Request:
    """A request of `batch_size` items for a model of this configuration, see :meth:`TritonClient.request`.

    Raises TritonError when a dimension stays open.
    """
    batch = [batch_size] if int(config.get("max_batch_size", 0)) else []
    rng, header, raw = np.random.default_rng(0), [], []
    for entry in config["input"]:
        shape = batch + _shape(model, entry, shapes)
        data = _data(entry["data_type"], shape, rng)
        raw.append(data)
        header.append({"name": entry["name"], "shape": shape, "datatype": _protocol_type(entry["data_type"]),
                       "parameters": {"binary_data_size": len(data)}})
    text = json.dumps({"inputs": header, "parameters": {"binary_data_output": True}}).encode()
    return Request(f"/v2/models/{model}/infer", b"".join([text, *raw]), len(text))


def load_over_grpc(address: str, model: str) -> float:
    """Loads a model by a gRPC call, and returns the seconds that took.

    A load over HTTP keeps its front end from reading other connections until it has ended (Triton 2.51;
    github.com/triton-inference-server/server #8958), so that inference over HTTP cannot be watched meanwhile.
    """
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException
    started_s = time.perf_counter()
    try:
        with InferenceServerClient(address) as client:
            client.load_model(model, client_timeout=TIMEOUT_S)
    except InferenceServerException as error:
        raise TritonError(f"load of {model} by gRPC at {address}: {error}") from error
    return time.perf_counter() - started_s


@contextmanager
def connected(url: str) -> Iterator[TritonClient]:
    """A client whose connection is closed at the end."""
    client = TritonClient(url)
    try:
        yield client
    finally:
        client.close()


def _shape(model: str, entry: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> list[int]:
    name, dims = entry["name"], [int(size) for size in entry["dims"]]
    given = list(shapes.get(name, dims))
    if min(given, default=1) < 1:
        raise TritonError(f"input {name} of {model} has open dimensions {dims}: give them with --shape {name}:SIZE,…")
    return given


def _data(data_type: str, shape: Sequence[int], rng: np.random.Generator) -> bytes:
    """Random values between 0 and 1, or zeros where integers may be indices into something; texts are empty."""
    elements = int(np.prod(shape))
    if data_type == "TYPE_STRING":
        return bytes(4 * elements)
    if data_type in ("TYPE_FP16", "TYPE_FP32", "TYPE_FP64"):
        return rng.random(elements).astype(f"f{SIZES[data_type]}").tobytes()
    return bytes(SIZES[data_type] * elements)


def _protocol_type(data_type: str) -> str:
    return "BYTES" if data_type == "TYPE_STRING" else data_type.removeprefix("TYPE_")
