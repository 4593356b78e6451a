"""Memory of the first and of each further copy of a model, in a server that has loaded nothing before.

On a GPU the device's used memory is read from Triton's metrics port; on the host the proportional memory (PSS) of the
server's processes, python stubs included. Each copy is asked once before it is looked at: frameworks allocate their
workspace at the first inference. The first copy also pays what its framework takes once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mmesim.calibrate.analyze.bench import Bench
from mmesim.calibrate.analyze.device import parse_metrics
from mmesim.calibrate.analyze.settings import copy_name
from mmesim.triton.client import TritonClient, TritonError, connected
from mmesim.triton.processes import usage
from mmesim.triton.server import TritonServer

COPIES = 3
ENOUGH_INFERENCES = 5
STILL = 0.002
"""Memory has settled when two looks differ by less than this part."""
LOOKS = 20
LOOK_EVERY_S = 0.25


def measure_memory(bench: Bench, model: str) -> dict[str, Any]:
    """Bytes in use with 0, 1, 2 … copies: {host_bytes, gpu_bytes (None without a GPU), after_unload}."""
    with bench.fresh_server() as server, connected(server.http_url) as client:
        names = [copy_name(model, number) for number in range(min(COPIES, bench.settings.copies))]
        host, gpu = [_host_bytes(server)], [_gpu_bytes(server)]
        for name in names:
            client.load(name)
            _ask(bench, client, name)
            host.append(_host_bytes(server))
            gpu.append(_gpu_bytes(server))
        for name in names:
            client.unload(name)
        after = {"host_bytes": _host_bytes(server), "gpu_bytes": _gpu_bytes(server)}
    return {"host_bytes": host, "gpu_bytes": None if gpu[0] is None else gpu, "after_unload": after}


def measure_memory_remote(bench: Bench, model: str) -> dict[str, Any]:
    """The same for one copy in a server that runs elsewhere: only its metrics port can be asked."""
    server = bench.server()
    with connected(server.http_url) as client:
        gpu = [_gpu_bytes(server)]
        client.load(model)
        _ask(bench, client, model)
        gpu.append(_gpu_bytes(server))
        client.unload(model)
    return {"host_bytes": None, "gpu_bytes": None if gpu[0] is None else gpu, "after_unload": {}}


def _ask(bench: Bench, client: TritonClient, model: str) -> None:
    request = bench.request(client, model)
    for _ in range(ENOUGH_INFERENCES):
        client.infer(request)


def _host_bytes(server: TritonServer) -> int:
    assert server.pid is not None
    pid = server.pid
    return _settled(lambda: usage(pid).pss_bytes)


def _gpu_bytes(server: TritonServer) -> int | None:
    used = _used(server)
    return None if used is None else _settled(lambda: _used(server) or 0)


def _used(server: TritonServer) -> int | None:
    address, _, path = server.metrics_url.partition("//")[2].partition("/")
    if not address:
        return None
    with connected(address) as client:
        try:
            return parse_metrics(client.call("GET", f"/{path}").decode())
        except TritonError:  # a server without a metrics port
            return None


def _settled(look: Callable[[], int]) -> int:
    """What two looks agree on; the last one when they never do."""
    before = look()
    for _ in range(LOOKS):
        time.sleep(LOOK_EVERY_S)
        now = look()
        if abs(now - before) <= STILL * before:
            break
        before = now
    return now
