"""What a live endpoint does on bad days: every fault is really brought about, and a client counts.

    python -m benchmarks.live_faults [FAULT ...] [--json] [--page docs/live-faults.md]

Each fault has an endpoint of its own: `mmesim live serve` as a process with real local Tritons, and a real
S3-compatible server (moto) behind a proxy that spoils its answers where the fault wants it. A client sends a steady,
open stream over several models and checks every answer's content. Afterwards belief and reality are compared, the
endpoint is ended, its processes, shared memory and temporary folders are looked for, and the journals are replayed.
Whatever should not be is listed as a problem; exit code 1 when there is one. The table: docs/live-faults.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import live_faults_clients as clients
from benchmarks import live_faults_servers as servers
from benchmarks import live_faults_store as store
from benchmarks.live_faults_client import WRONG, kinds
from benchmarks.live_faults_servers import Row
from benchmarks.live_faults_world import BadS3, S3Server, World, outside, world
from benchmarks.page import filled, table


@dataclass(frozen=True)
class Fault:
    """One fault: what is done, and under which settings."""

    play: Callable[[World, Row], Awaitable[None]]
    changes: Mapping[str, Any] = field(default_factory=dict)
    small_disk: bool = False
    decides: bool = True
    """At the end the endpoint still decides."""

    @property
    def what(self) -> str:
        return (self.play.__doc__ or "").partition("\n")[0].rstrip(".")


SHORT_WAITS = {"gateway": {"header_timeout": "3s", "body_timeout": "3s"}}
BOMBS = {"capacity": {"disk": "40MiB"}, "store": {"unpack": {"max_members": 200}}}
SILENT = {"store": {"s3": {"attempts": 2, "read_timeout": "2s"}}}
FAULTS: Mapping[str, Fault] = {
    "triton-killed": Fault(servers.triton_killed),
    "triton-frozen": Fault(servers.triton_frozen),
    "triton-killed-while-loading": Fault(servers.triton_killed_while_loading),
    "one-of-two-killed": Fault(servers.one_of_two_killed, {"endpoint": {"instances": 2}}),
    "model-process-killed": Fault(servers.model_process_killed),
    "gateway-killed": Fault(servers.gateway_killed),
    "gateway-killed-s3-down": Fault(servers.gateway_killed_store_down),
    "gateway-terminated": Fault(servers.gateway_terminated),
    "two-gateways": Fault(servers.two_gateways),
    "policy-raises": Fault(servers.policy_raises, {"endpoint": {"eviction": {"gpu": "mistake:Raises"}}}, decides=False),
    "s3-down": Fault(store.s3_down),
    "s3-slow": Fault(store.s3_slow),
    "s3-silent": Fault(store.s3_silent, SILENT),
    "s3-truncating": Fault(store.s3_truncating),
    "s3-truncating-twice": Fault(store.s3_truncating_twice),
    "corrupt-archive": Fault(store.corrupt_archive),
    "hostile-archives": Fault(store.hostile_archives, BOMBS),
    "failing-load": Fault(store.failing_load),
    "out-of-memory": Fault(store.out_of_memory),
    "larger-than-memory": Fault(store.larger_than_memory),
    "quota-full": Fault(store.quota_full, {"capacity": {"disk": "400kB"}}),
    "disk-full": Fault(store.disk_full, {"store": {"min_free": "1MiB"}}, small_disk=True),
    "replaced": Fault(store.replaced),
    "deleted": Fault(store.deleted),
    "removed": Fault(store.removed),
    "disconnects": Fault(clients.disconnects),
    "large-body": Fault(clients.large_body),
    "slow-loris": Fault(clients.slow_loris, SHORT_WAITS),
}


async def play(fault: Fault, s3: S3Server, proxy: BadS3, folder: Path) -> Row:
    """One fault on an endpoint of its own, and the look at what it left."""
    row = Row()
    async with world(s3, proxy, folder, fault.changes) as w:
        with ExitStack() as stack:
            if fault.small_disk:
                stack.enter_context(store.small_disk(w))
            servers.write_policy(w.folder)
            try:
                await w.open()
                await fault.play(w, row)
                row.problems += await w.audit() if fault.decides else []
            except Exception as error:  # the others are to be played all the same
                row.problems.append(f"{type(error).__name__}: {error}")
            row.problems += await w.after()
            row.problems += counted(w)
    return row


def counted(w: World) -> list[str]:
    """What the client was promised, beside what the journals hold."""
    wrong, acknowledged = [], w.acknowledged()
    if w.lossless and w.answered_in_journals() < acknowledged:
        wrong.append(f"{acknowledged} right answers, {w.answered_in_journals()} in the journals")
    if count := kinds(w.client.replies)[WRONG]:
        wrong.append(f"{count} wrong answers")
    return wrong


def line(name: str, row: Row) -> dict[str, Any]:
    """A row as plain data."""
    fault = FAULTS[name]
    return {"fault": name, "what": fault.what, **asdict(row),
            "recovery_median_s": median(row.recovery_s) if row.recovery_s else None}


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of the page."""
    head = ["Fault", "What the client gets", "Recovery", "Longest 200", "Besides"]
    return table([head, *([row["what"], gets(row["gets"]), seconds(row["recovery_s"]), f"{row['longest_s']:.1f} s",
                           "; ".join(row["notes"])] for row in rows)])


def load(rows: Sequence[Mapping[str, Any]]) -> str:
    """How busy the machine was besides."""
    loads = [row["load_average"] for row in rows]
    return (f"{os.cpu_count()} processors, shared with others; load average at the starts of the runs: median "
            f"{median(loads):.1f}, at most {max(loads):.1f}. "
            f"{sum(row['requests'] for row in rows):,} requests; {sum(len(row['problems']) for row in rows)} problems.")


def gets(found: Mapping[str, int]) -> str:
    """Outcomes, the right ones first."""
    ordered = sorted(found.items(), key=lambda one: (one[0] != "200", one[0]))
    return ", ".join(f"{count} × {kind}" for kind, count in ordered)


def seconds(times: Sequence[float]) -> str:
    """The median, and all where there are several."""
    if not times:
        return "—"
    each = f" ({', '.join(f'{one:.1f}' for one in times)})" if len(times) > 1 else ""
    return f"{median(times):.1f} s{each}"


async def played(names: Sequence[str]) -> list[dict[str, Any]]:
    """All of these, one after another."""
    rows = []
    with outside() as (s3, proxy), tempfile.TemporaryDirectory() as folder:
        for name in names:
            began_s, load = time.monotonic(), os.getloadavg()[0]
            row = line(name, await play(FAULTS[name], s3, proxy, Path(folder))) | {"load_average": load}
            rows.append(row)
            print(f"{name}: {gets(row['gets'])}; recovery {seconds(row['recovery_s'])}; {row['notes']} "
                  f"({time.monotonic() - began_s:.0f} s, load {load:.1f})", *row["problems"], sep="\n  PROBLEM ",
                  file=sys.stderr, flush=True)
    return rows


def main() -> int:
    """Plays them and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(FAULTS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--page", type=Path, help="put the table between this page's markers")
    given = parser.parse_args()
    if unknown := set(given.faults) - set(FAULTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    rows = asyncio.run(played(given.faults or list(FAULTS)))
    print(json.dumps(rows, indent=2) if given.json else markdown(rows))
    if given.page:
        tables = {"faults": markdown(rows), "load": load(rows)}
        given.page.write_text(filled(given.page.read_text(encoding="utf-8"), tables), encoding="utf-8")
    return int(any(row["problems"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
