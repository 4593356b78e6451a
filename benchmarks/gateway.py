"""What the gateway adds to a warm request, beside direct Triton on the same machine, and what a core of it carries.

    python -m benchmarks.gateway [--rounds 5] [--seconds 2] [--idle 3000] [--soak 500000] [--json]

Three processes: a real Triton with a python-backend model that does nothing, the gateway before it (alone, with an
endpoint that always says yes: what the controller costs comes on top), and this one, which asks. Direct and through the
gateway take turns, because the machine is shared; figures are medians of the rounds.

`carries`: requests per second of the gateway's processor time, with a server behind it that answers at once, since
Triton and the clients would take the cores away. `--profile FILE` writes where the gateway's time goes (cProfile).
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

from mmesim.core.types import Failure
from mmesim.live.gateway import GatewaySettings, serve
from mmesim.live.ports import Address, Server, Ticket
from mmesim.triton import running_server, write_example
from mmesim.triton.example import sleeping
from mmesim.triton.processes import usage
from mmesim.triton.server import free_ports
from mmesim.triton.tools import find_server
from mmesim.units import MIB

MODEL = "nothing"
DIRECT, KSERVE, SAGEMAKER = f"/v2/models/{MODEL}/infer", f"/v2/models/{MODEL}/infer", "/endpoints/mme/invocations"
BODY = json.dumps({"inputs": [{"name": "INPUT", "shape": [1, 16], "datatype": "FP32", "data": [0.5] * 16}]}).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n" + b" " * 200
WARM_UP_S = 0.5
T = TypeVar("T")


# The two servers of this benchmark, each in a process of its own.

class Yes:
    """An endpoint whose one model is READY on its one server."""

    name = "mme"
    invocation_timeout_s = 60.0
    ready = True

    def __init__(self, server: Server) -> None:
        self._server = server

    def holder(self, name: str) -> Server:
        return self._server

    def begin(self, name: str) -> Ticket:
        return Ticket(0, 0, name, 0, instance=0)

    async def wait(self, ticket: Ticket) -> None:
        raise AssertionError("nothing is held")

    def server(self, ticket: Ticket) -> Server:
        return self._server

    def end(self, ticket: Ticket, failure: Failure = Failure.NONE) -> None:
        ticket.over = True

    def again(self, ticket: Ticket) -> Ticket:
        raise AssertionError("a server was lost")


class Only:
    """A server of which only the address is used."""

    name = "triton"

    def __init__(self, http: str) -> None:
        self.address = Address(http, "")


async def run_gateway(port: int, upstream: str) -> None:
    """Serves until it is ended."""
    gateway = await serve(Yes(Only(upstream)), GatewaySettings(port=port, max_connections=100_000))  # type: ignore[arg-type]
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await gateway.drain(1.0)


class Instant(asyncio.Protocol):
    """A server that answers every request, small enough to come in one piece, at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER * max(1, data.count(b"POST ")))  # type: ignore[attr-defined]


async def run_instant(port: int) -> None:
    """Serves until it is ended."""
    await asyncio.get_running_loop().create_server(Instant, "127.0.0.1", port)
    await asyncio.Event().wait()


@contextmanager
def process(kind: str, port: int, *arguments: str) -> Iterator[int]:
    """One of these servers, listening; its process id."""
    child = subprocess.Popen([sys.executable, "-m", "benchmarks.gateway", kind, str(port), *arguments])
    try:
        while not listens(port):
            assert child.poll() is None, f"{kind} has ended"
            time.sleep(0.1)
        yield child.pid
    finally:
        child.terminate()
        child.wait()


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# The clients.

class Client(asyncio.Protocol):
    """One connection that sends its request again as soon as the answer is there."""

    def __init__(self, request: bytes, latencies_s: list[float], ends_s: float) -> None:
        self._request, self._latencies_s, self._ends_s = request, latencies_s, ends_s
        self._got = b""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent_s = time.perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Notes how long a whole answer took, and asks again until the time is over."""
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]):
            return
        assert head.startswith(b"HTTP/1.1 200"), self._got
        self._got = b""
        now_s = time.perf_counter()
        self._latencies_s.append(now_s - self._sent_s)
        if now_s < self._ends_s:
            self._send()
        else:
            self._transport.close()
            self.over.set_result(None)


def request(path: str) -> bytes:
    """A small inference in JSON."""
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"
            f"X-Amzn-SageMaker-Target-Model: {MODEL}.tar.gz\r\n\r\n").encode() + BODY


async def ask(port: int, path: str, connections: int, seconds: float) -> list[float]:
    """Latencies, in seconds, of requests from so many connections for so long."""
    latencies_s: list[float] = []
    ends_s, loop = time.perf_counter() + seconds, asyncio.get_running_loop()
    clients = [(await loop.create_connection(lambda: Client(request(path), latencies_s, ends_s), "127.0.0.1", port))[1]
               for _ in range(connections)]
    await asyncio.gather(*(client.over for client in clients))
    return latencies_s


def summary(latencies_s: Sequence[float], seconds: float) -> dict[str, float]:
    """Percentiles in milliseconds and the rate."""
    ordered = sorted(latencies_s)
    return {"p50_ms": 1e3 * ordered[len(ordered) // 2], "p99_ms": 1e3 * ordered[len(ordered) * 99 // 100],
            "rate_rps": len(ordered) / seconds}


def medians(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: round(median(row[name] for row in rows), 3) for name in rows[0]}


# What is measured.

def overhead(ports: dict[str, tuple[int, str]], connections: int, rounds: int,
             seconds: float) -> dict[str, dict[str, float]]:
    """Each way in turn, so many rounds."""
    rows: dict[str, list[dict[str, float]]] = {way: [] for way in ports}
    for _ in range(rounds):
        for way, (port, path) in ports.items():
            loop_run(partial(ask, port, path, connections, WARM_UP_S))
            rows[way].append(summary(loop_run(partial(ask, port, path, connections, seconds)), seconds))
    return {way: medians(found) for way, found in rows.items()}


def carried(port: int, pid: int, path: str, connections: int, rounds: int, seconds: float) -> dict[str, float]:
    """Requests per second of the gateway's processor time, and of the clock."""
    rows = []
    for _ in range(rounds):
        before_s = usage(pid).cpu_s
        count = len(loop_run(partial(ask, port, path, connections, seconds)))
        rows.append({"per_cpu_s": count / (usage(pid).cpu_s - before_s), "rate_rps": count / seconds})
    return medians(rows)


def idling(port: int, pid: int, count: int, seconds: float) -> dict[str, float]:
    """What so many silent connections cost, and what a request takes beside them."""
    async def measure() -> dict[str, float]:
        """Before, with and beside the connections."""
        before = usage(pid)
        writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(count)]
        await asyncio.sleep(1.0)
        held = usage(pid)
        await asyncio.sleep(seconds)
        cpu_s = usage(pid).cpu_s - held.cpu_s
        found = summary(await ask(port, KSERVE, 1, seconds), seconds)
        for writer in writers:
            writer.close()
        return {"connections": count, "bytes_each": (held.rss_bytes - before.rss_bytes) / count,
                "cpu_percent": 100 * cpu_s / seconds, "p50_ms_beside_them": found["p50_ms"]}
    return {name: round(value, 3) for name, value in loop_run(measure).items()}


def soaked(port: int, pid: int, requests: int) -> dict[str, float]:
    """Memory before and after so many requests, on connections that are made anew every two seconds."""
    loop_run(partial(ask, port, KSERVE, 16, 5.0))
    before, count = usage(pid), 0
    while count < requests:
        count += len(loop_run(partial(ask, port, KSERVE, 16, 2.0)))
    return {"requests": count, "rss_mib_before": before.rss_bytes / MIB, "rss_mib_after": usage(pid).rss_bytes / MIB}


def loop_run(story: Callable[[], Coroutine[object, object, T]]) -> T:
    """Runs a coroutine on uvloop."""
    import uvloop
    return uvloop.run(story())


def measured(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """All of it."""
    gateway_port, instant_port, carrier_port = free_ports(3)
    repository = write_example(folder / "models", {MODEL: sleeping(0, 0, load_ms=1, weights_bytes=64)})
    found: dict[str, object] = {"load_average_before": os.getloadavg()[0]}
    with running_server(find_server(), repository, mark=f"bench {os.getpid()}", log=folder / "log") as triton:
        triton.client().load(MODEL)
        address = triton.http_url.removeprefix("http://")
        ways = {"direct": (int(address.rpartition(":")[2]), DIRECT), "kserve": (gateway_port, KSERVE),
                "sagemaker": (gateway_port, SAGEMAKER)}
        with process("--serve", gateway_port, address) as pid:
            for connections in (1, 4):
                found[f"{connections} in flight"] = overhead(ways, connections, options.rounds, options.seconds)
            if options.idle:
                found["idle"] = idling(gateway_port, pid, options.idle, 3 * options.seconds)
    with process("--instant", instant_port), \
            process("--serve", carrier_port, f"127.0.0.1:{instant_port}", *options.profile) as pid:
        found["carries"] = {way: carried(carrier_port, pid, path, 16, options.rounds, options.seconds)
                            for way, path in (("kserve", KSERVE), ("sagemaker", SAGEMAKER))}
        if options.soak:
            found["soak"] = soaked(carrier_port, pid, options.soak)
    return found


def main() -> None:
    """Measures, or is one of the servers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--idle", type=int, default=3000)
    parser.add_argument("--soak", type=int, default=0, metavar="REQUESTS")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", nargs=1, default=[], metavar="FILE")
    parser.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--instant", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 20_000)), hard))
    if options.instant:
        loop_run(partial(run_instant, options.instant))
    elif options.serve:
        profile = cProfile.Profile() if len(options.serve) > 2 else None
        story = partial(run_gateway, int(options.serve[0]), options.serve[1])
        if profile:
            profile.runcall(loop_run, story)
            profile.dump_stats(options.serve[2])
        else:
            loop_run(story)
    else:
        with tempfile.TemporaryDirectory() as folder:
            show(measured(options, Path(folder)), options.json)


def show(found: dict[str, object], as_json: bool) -> None:
    """Prints it."""
    if as_json:
        print(json.dumps(found, indent=1))
    for title, figures in ({} if as_json else found).items():
        rows = figures.items() if isinstance(figures, dict) else ()
        print(f"{title}:" + ("" if rows else f" {figures}"))
        for name, value in rows:
            inner = ", ".join(f"{key} {one:,.3f}" for key, one in value.items()) if isinstance(value, dict) else value
            print(f"    {name:20} {inner}")


if __name__ == "__main__":
    main()
