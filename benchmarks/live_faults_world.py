"""A live endpoint to be hurt: `mmesim live serve` as a process of its own before real local Tritons, archives in a real
S3-compatible server behind a proxy that can spoil its answers, and the look at what is left when all is over."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import yaml

from benchmarks.live_faults_client import RIGHT, Client, kinds
from mmesim.journal import open_journal
from mmesim.journal.entries import Departed
from mmesim.live.replay import replay, setup_of
from mmesim.triton.example import sleeping, write_model
from mmesim.triton.processes import SHARED_MEMORY, arguments, end_marked, launch, marked
from mmesim.triton.server import LOCAL, free_ports, tail
from tests.bad_s3 import FINE, BadS3, bad_s3
from tests.s3_server import BUCKET, CREDENTIALS, S3Server, s3_server

ROOM = 4
"""Models that fit."""
STREAM = {"m0": 0.34, "m1": 0.30, "m2": 0.20, "m3": 0.15, "m4": 0.01}
"""Five models for four places: now and then one leaves, and comes back later."""
WARM = {"m0": 0.4, "m1": 0.35, "m2": 0.25}
READY_S = 60.0
POLL_S = 0.02
SETTINGS: Mapping[str, Any] = {
    "name": "faults",
    "endpoint": {"instances": 1, "server": {"load_threads": 2, "failed_retry_after": "2s", "host_memory_threshold": 1}},
    "capacity": {"host_memory": f"{ROOM * 100}MiB", "disk": "1GiB"},
    "models": {"rules": [{"match": "giant", "host_memory": "10GiB"},
                         {"match": "*", "host_memory": "95MiB", "load_time": "1s", "service_time": "6ms"}]},
    "state": "state", "reconcile": "5s", "list_models": "1s"}
"""What differs from the defaults is meant to make a run short: 2 s in place of 60 s before a model whose load failed is
tried again, a look at the store each second and at the servers every five."""
SEGMENTS = re.compile(r"shm-region-prefix-name=(mmesim-([0-9a-f]+)-)")


def archive(name: str, *, weights_bytes: int = 64 << 10, code: str = "", **settings: Any) -> bytes:
    """A tar.gz of a model that sleeps; `code` is put behind its own, `settings` are those of `sleeping`."""
    weights, buffer = np.random.default_rng(7).bytes(weights_bytes), io.BytesIO()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text) / name
        write_model(folder, sleeping(5, 1, **{"load_ms": 50, "device": "", **settings}), weights)
        with (folder / "1" / "model.py").open("a") as program:
            program.write(code)
        with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
            tar.add(folder, arcname="")
    return buffer.getvalue()


def fails(words: str) -> str:
    """Code of a model that cannot be initialized."""
    return f"\n\nclass TritonPythonModel:\n    def initialize(self, args):\n        raise {words}\n"


@contextmanager
def outside() -> Iterator[tuple[S3Server, BadS3]]:
    """The S3 server and the proxy before it, for many runs."""
    with s3_server() as s3, bad_s3(s3.port) as proxy:
        yield s3, proxy


@dataclass
class World:
    """One endpoint and its surroundings, in a folder of its own."""

    s3: S3Server
    proxy: BadS3
    folder: Path
    client: Client
    settings: dict[str, Any]
    journals: list[Path] = field(default_factory=list)
    """One for each start."""
    process: subprocess.Popen[bytes] | None = None
    key: str = ""
    """Of this endpoint's servers, in their marks and in the names of their shared memory."""
    lossless: bool = True
    """The journals must hold every answer: no gateway was killed, no disk was full."""

    @property
    def mark(self) -> str:
        return f"faults {self.folder.name}"

    @property
    def log(self) -> Path:
        return self.folder / "serve.log"

    # What is in the store.

    def put(self, **archives: bytes) -> None:
        """Puts archives into the store."""
        self.s3.put({f"{self.folder.name}/{name}.tar.gz": content for name, content in archives.items()})

    def take(self, name: str) -> None:
        """Takes an archive out of the store."""
        self.s3.client().delete_object(Bucket=BUCKET, Key=f"{self.folder.name}/{name}.tar.gz")

    def fetched(self) -> int:
        """Archives' bodies that were asked for so far."""
        return sum(line.startswith("GET") and ".tar.gz" in line for line in self.proxy.requests)

    # The endpoint's life.

    async def open(self, *more: str) -> None:
        """Starts it; returns when it is in service."""
        self.start(*more)
        told = await self._told()
        self.journals.append(Path(told["journal"]))
        await self.until(self.is_ready, "in service")
        await self.until(self._learnt_key, "Triton's process")

    def start(self, *more: str) -> None:
        """Starts its process, from the thread that lives as long as we do."""
        file = self.folder / "live.yaml"
        file.write_text(yaml.safe_dump(self.settings, sort_keys=False), encoding="utf-8")
        self.log.rename(self.folder / f"serve-{len(self.journals)}.log") if self.log.exists() else None
        self.process = launch(serve_command(file, *more), self.mark, self.log,
                              {**CREDENTIALS, "PYTHONPATH": os.pathsep.join(sys.path)})

    async def _told(self) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def told() -> bool:
            text = self.log.read_text(encoding="utf-8", errors="replace")
            start, end = text.find("{\n"), text.find("\n}\n")
            if 0 <= start < end:
                found.update(json.loads(text[start:end + 2]))
            return bool(found)

        await self.until(told, "what it says of itself")
        return found

    def is_ready(self) -> bool:
        """Whether it says so."""
        return get_status(f"{LOCAL}:{self.settings['gateway']['port']}", "/ping") == 200

    async def until(self, condition: Callable[[], bool], what: str, within_s: float = READY_S) -> float:
        """Seconds until it was true. Raises AssertionError."""
        began_s = time.monotonic()
        while not await asyncio.to_thread(condition):
            assert time.monotonic() < began_s + within_s, f"{what}: not within {within_s:g} s; {tail(self.log)}"
            assert self.process is None or self.process.poll() is None, f"{what}: it has ended; {tail(self.log)}"
            await asyncio.sleep(POLL_S)
        return time.monotonic() - began_s

    def _learnt_key(self) -> bool:
        found = [SEGMENTS.search(" ".join(arguments(pid))) for pid in self.tritons()]
        self.key = next((match[2] for match in found if match), self.key)
        return bool(self.key)

    async def kill(self) -> float:
        """kill -9 of the gateway; when."""
        assert self.process is not None
        self.lossless = False
        self.process.kill()
        killed_s = time.monotonic()
        await asyncio.to_thread(self.process.wait)
        return killed_s

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, 60)

    def end(self) -> None:
        """Ends what is left, however a run went."""
        for mark in (self.mark, f"live {self.key}"):
            end_marked(mark, grace_s=0)

    # Processes.

    def tritons(self) -> list[int]:
        """Living tritonserver processes of this endpoint."""
        return [pid for pid in self._ours() if any("tritonserver" in one for one in arguments(pid)[:1])]

    def stubs(self) -> list[int]:
        """Processes of loaded models."""
        return [pid for pid in self._ours() if any("triton_python_backend_stub" in one for one in arguments(pid)[:1])]

    def _ours(self) -> list[int]:
        inside = str(self.folder)
        return [int(pid) for pid in os.listdir("/proc") if pid.isdigit()
                and any(inside in one for one in arguments(int(pid)))]

    def signal_triton(self, number: signal.Signals) -> float:
        """Sends it to the first one; when."""
        os.kill(self.tritons()[0], number)
        return time.monotonic()

    # The management API.

    async def manage(self, method: str, path: str, given: Any = None) -> Any:
        """JSON of the management API."""
        url = f"http://{LOCAL}:{self.settings['management']['port']}{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, json=given) as answer:
            text = await answer.text()
            return json.loads(text) if text else None

    async def model(self, name: str) -> Mapping[str, Any]:
        """A model's row; empty when there is none."""
        rows = (await self.manage("GET", "/models"))["models"]
        return next((row for row in rows if row["name"] == name), {})

    async def known(self, name: str, version_not: str = "") -> None:
        """Until the endpoint has seen it in the store (in another version)."""
        for _ in range(1000):
            if (await self.model(name)).get("version", version_not) != version_not:
                return
            await asyncio.sleep(POLL_S)
        raise AssertionError(f"{name} is not seen")

    # What is left.

    async def audit(self) -> list[str]:
        """What is wrong with a quiet endpoint: belief and reality, counters, folders. Nothing should be."""
        await self._quiet()
        state, wrong = await self.manage("GET", "/state"), []
        if state["in_flight"] or any(one["in_flight"] for one in state["instances"]) or state["failed"]:
            wrong.append(f"in flight {state['in_flight']}, failed {state['failed']}")
        for found in (await self.manage("POST", "/reconcile")).values():
            wrong.append(f"belief and reality differ: {found}")
        rows = (await self.manage("GET", "/models"))["models"]
        for one in state["instances"]:
            wrong += await self._compared(one, rows)
        wrong += [f"left unfinished: {path.relative_to(self.folder)}"
                  for path in self.folder.glob("**/.mmesim/*/unfinished/*")]
        replies = kinds(self.client.replies)
        if len(self.client.replies) != self.client.asked or sum(replies.values()) != self.client.asked:
            wrong.append(f"{self.client.asked} asked, {len(self.client.replies)} outcomes")
        return wrong

    async def _quiet(self) -> None:
        """Nothing is under way any more."""
        for _ in range(1500):
            state = await self.manage("GET", "/state")
            standing = {one for row in state["instances"] for one in row["models"].values()}
            if not state["in_flight"] and standing <= {"READY", "ON_DISK", "FAILED"}:
                return
            await asyncio.sleep(POLL_S)

    async def _compared(self, row: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> list[str]:
        """One instance's row beside what its server says and its folder holds."""
        ready = {name for name, standing in row["models"].items() if standing == "READY"}
        kept = {model["name"] for model in models if row["slot"] in model["on_disk"]}
        async with aiohttp.ClientSession() as session:
            url = f"http://{row['address']['http']}/v2/repository/index"
            async with session.post(url) as answer:
                index = {one["name"] for one in await answer.json() if one.get("state") == "READY"}
        folder = self.folder / self.settings["state"] / "servers" / f"server-{row['slot']}" / "models"
        on_disk = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        return [f"{what} of slot {row['slot']}: {sorted(believed)} believed, {sorted(real)} there"
                for what, believed, real in (("READY", ready, index), ("on disk", kept, on_disk)) if believed != real]

    async def after(self, drained: bool = True) -> list[str]:
        """Ends the endpoint in good order; what it leaves behind. Nothing should be."""
        wrong, code = [], await self.stop()
        if code and drained:
            wrong.append(f"exit code {code}: {tail(self.log)}")
        wrong += await self.gone()
        return wrong + [problem for journal in self.journals for problem in replayed(journal)]

    async def gone(self) -> list[str]:
        """Processes and shared memory that outlive the endpoint by more than a few seconds."""
        def left() -> list[str]:
            return [*(f"process {pid}: {' '.join(arguments(pid))[:120]}" for pid in self._everyone()),
                    *(f"shared memory: {path.name}" for path in SHARED_MEMORY.glob(f"mmesim-{self.key}-*"))]

        deadline_s = time.monotonic() + 15
        while left() and time.monotonic() < deadline_s:
            await asyncio.sleep(0.1)
        return left()

    def _everyone(self) -> list[int]:
        return sorted({*marked(self.mark), *marked(f"live {self.key}"), *self._ours()})

    def answered_in_journals(self) -> int:
        """Requests that ended well, as the journals say."""
        count = 0
        for path in self.journals:
            with open_journal(path) as journal:
                count += sum(isinstance(one, Departed) and not one.failure for one in journal.entries())
        return count

    def acknowledged(self) -> int:
        """Right answers that the client has got."""
        return kinds(self.client.replies)[RIGHT]


def serve_command(settings: Path, *more: str) -> list[str]:
    """`mmesim live serve`."""
    return [sys.executable, "-m", "mmesim", "live", "serve", str(settings), "--json", *more]


def replayed(journal: Path) -> list[str]:
    """What a fresh controller decides otherwise than this journal says. Nothing should be."""
    with open_journal(journal) as reader:
        outcome = replay(reader, setup_of(reader))
    if not outcome.is_equal:
        return [f"{journal.name} replays differently: {outcome.difference}"]
    return [] if outcome.counts["steps"] else [f"{journal.name} is empty"]


def get_status(address: str, path: str) -> int:
    """Status of a GET; 0: no answer."""
    import http.client
    connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


@asynccontextmanager
async def world(s3: S3Server, proxy: BadS3, parent: Path,
                changes: Mapping[str, Any] | None = None) -> AsyncIterator[World]:
    """A world whose endpoint is not started yet; five models are in its store. `changes`: settings, by section."""
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir=parent)).resolve()
    gateway, management = free_ports(2)
    settings: dict[str, Any] = {
        **SETTINGS, "gateway": {"port": gateway}, "management": {"port": management},
        "store": {"source": f"s3://{BUCKET}/{folder.name}", "s3": {"endpoint_url": proxy.url}}}
    settings = joined(settings, changes or {})
    proxy.plan = lambda number, line: FINE
    client = Client(f"http://{LOCAL}:{gateway}/endpoints/{settings['name']}/invocations")
    made = World(s3, proxy, folder, client, settings)
    made.put(**{name: archive(name) for name in STREAM})
    try:
        yield made
    finally:
        made.end()
        proxy.plan = lambda number, line: FINE
        await client.close()


def joined(below: Any, above: Any) -> Any:
    """Settings laid over others, section by section."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{name: joined(below.get(name), value) for name, value in above.items()}}
