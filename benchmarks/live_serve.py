"""A whole `mmesim live serve` (gateway, controller, journal, meter) before a real Triton: what it adds to a warm
request, what a core of it carries, and whether its memory stays flat.

    python -m benchmarks.live_serve [--rounds 5] [--seconds 2] [--soak 500000] [--json]

As `benchmarks.gateway`, which measures the gateway alone; the model does nothing. The processor time is that of the
serving process; Triton and the asking process have theirs besides, on the same cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.gateway import DIRECT, KSERVE, MODEL, SAGEMAKER, ask, loop_run, medians, overhead, show
from mmesim.triton import write_example
from mmesim.triton.example import sleeping
from mmesim.triton.processes import started, usage_of
from mmesim.units import MIB

SETTINGS = """\
name: mme
capacity: {host_memory: 4GiB, disk: 1GiB}
store: {source: archives, min_free: 0B, fsync: false}
gateway: {port: 0}
management: {port: 0}
"""
READY_S = 60.0


@contextmanager
def served(folder: Path) -> Iterator[tuple[int, int, int]]:
    """(port of the endpoint, port of its Triton, process) with the model loaded."""
    loose = write_example(folder / "loose", {MODEL: sleeping(0, 0, load_ms=1, device="", weights_bytes=64)})
    (folder / "archives").mkdir()
    with tarfile.open(folder / "archives" / f"{MODEL}.tar.gz", "w:gz") as tar:
        tar.add(loose / MODEL, arcname="")
    settings, log = folder / "live.yaml", folder / "serve.log"
    settings.write_text(SETTINGS, encoding="utf-8")
    command = [sys.executable, "-m", "mmesim", "live", "serve", str(settings), "--json"]
    with started(command, f"bench {os.getpid()}", log, {"PYTHONPATH": os.pathsep.join(sys.path)}) as process:
        told, deadline_s = None, time.monotonic() + READY_S
        while told is None and time.monotonic() < deadline_s:
            time.sleep(0.1)
            text = log.read_text()
            told = json.loads(text[text.find("{"):text.rfind("\n}") + 2]) if "\n}" in text else None
        assert told is not None, log.read_text()
        while json.load(urllib.request.urlopen(f"{told['management']}/state"))["ready"] is not True:
            time.sleep(0.1)
        urllib.request.urlopen(urllib.request.Request(f"{told['management']}/models/{MODEL}/load", method="POST"))
        state = json.load(urllib.request.urlopen(f"{told['management']}/state"))
        triton = state["instances"][0]["address"]["http"]
        yield int(told["kserve"].rpartition(":")[2].partition("/")[0]), int(triton.rpartition(":")[2]), process.pid


def carried(port: int, pid: int, rounds: int, seconds: float) -> dict[str, float]:
    """Requests per second of the serving process's own processor time, and of the clock, with 16 in flight."""
    rows = []
    for _ in range(rounds):
        before_s = usage_of([pid]).cpu_s
        count = len(loop_run(partial(ask, port, SAGEMAKER, 16, seconds)))
        rows.append({"per_cpu_s": count / (usage_of([pid]).cpu_s - before_s), "rate_rps": count / seconds})
    return medians(rows)


def soaked(port: int, pid: int, requests: int) -> dict[str, float]:
    """Memory of the serving process after a tenth of the requests, after half and after all."""
    count, rss_mib = 0, {}
    for name, until in (("rss_mib_10_percent", requests // 10), ("rss_mib_half", requests // 2),
                        ("rss_mib_all", requests)):
        while count < until:
            count += len(loop_run(partial(ask, port, SAGEMAKER, 16, 2.0)))
        rss_mib[name] = usage_of([pid]).rss_bytes / MIB
    return {"requests": count, **rss_mib}


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--soak", type=int, default=0, metavar="REQUESTS")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, object] = {"load_average_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (port, triton, pid):
        ways = {"direct": (triton, DIRECT), "kserve": (port, KSERVE), "sagemaker": (port, SAGEMAKER)}
        for connections in (1, 4):
            found[f"{connections} in flight"] = overhead(ways, connections, options.rounds, options.seconds)
        found["carries"] = carried(port, pid, options.rounds, options.seconds)
        if options.soak:
            found["soak"] = soaked(port, pid, options.soak)
    show(found, options.json)


if __name__ == "__main__":
    main()
