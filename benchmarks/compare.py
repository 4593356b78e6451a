"""How long a comparison takes: eight eviction policies, ten seeds, a million requests a run, on all cores.

    python -m benchmarks.compare [--requests 1000000] [--seeds 10]

One `mmesim compare` of the packaged scenario `many-small`, made so small that models must leave (99 % hits), its report
included. What stands in the table is that comparison's own `timing`, and the time of one run of each policy alone,
interleaved, so that a policy that is slow shows itself and is seen to slow no other.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mmesim.results.comparison_files import load

POLICIES = ("lru", "lfu", "lfu_da", "lru_k", "gdsf", "sieve", "s3fifo", "fifo")
SIZE = "68.5MiB"
"""Of a model: about one request in a hundred then misses."""
ROUNDS = 3


def main(arguments: Sequence[str]) -> None:
    """Run it and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args(arguments)
    settings = [f"duration={given.requests / 1000:.0f}s", "warmup=60s", f"models.0.gpu_bytes={SIZE}",
                "output.report=false", "output.trace=false", "output.journal=false"]
    with tempfile.TemporaryDirectory() as folder:
        _compare(Path(folder), settings, given.seeds)
        _alone(Path(folder), settings)


def _compare(folder: Path, settings: Sequence[str], seeds: int) -> None:
    started = time.perf_counter()
    _mmesim(folder, "compare", settings, "--seeds", str(seeds), "--name", "speed",
            "--vary", f"endpoint.eviction.gpu={','.join(POLICIES)}")
    wall_s = time.perf_counter() - started
    comparison = load(folder / "speed")
    runs = len(comparison.variants) * len(comparison.seeds)
    print(f"{len(comparison.variants)} policies x {len(comparison.seeds)} seeds, {runs} runs, "
          f"{comparison.timing['requests']:,} requests: {wall_s:.0f} s, report included\n")
    print("| policy | hit ratio | loads |\n|---|--:|--:|")
    for variant in comparison.variants:
        print(f"| {variant.name} | {variant.values['cache.hit_ratio'].mean:.4f} "
              f"| {variant.values['residency.loads'].mean:,.0f} |")


def _alone(folder: Path, settings: Sequence[str]) -> None:
    """Median wall time of one run of each policy, with the start of the program."""
    times: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    for _ in range(ROUNDS):
        for policy, taken in times.items():
            started = time.perf_counter()
            _mmesim(folder, "run", [*settings, f"endpoint.eviction.gpu={policy}"], "--name", "alone")
            taken.append(time.perf_counter() - started)
    print("\n| policy | one run, s | range |\n|---|--:|---|")
    for policy, taken in times.items():
        print(f"| {policy} | {statistics.median(taken):.1f} | {min(taken):.1f}–{max(taken):.1f} |")


def _mmesim(folder: Path, command: str, settings: Sequence[str], *options: str) -> None:
    sets = [part for setting in settings for part in ("--set", setting)]
    subprocess.run([sys.executable, "-m", "mmesim", command, "many-small", "--quiet", "--out", str(folder), *sets,
                    *options], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(sys.argv[1:])
