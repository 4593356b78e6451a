"""Miss counts of libCacheSim's unit tests, met by real runs of the simulator reduced to one cache with instant loads.

    python -m benchmarks.published_counts DATA [--policies lru,sieve] [--mib 128,512]

CI runs a few of these; all 56 take an hour or two, because each run decides some 70,000 evictions among thousands of
objects. Prints a line a run: ours, published, and whether they are the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from one_cache import hits, one_cache
from test_oracle_caches import MIB, MISSES, _numbered, _trace

PARAMS = {"gdsf": {"frequency": "count", "cost": "uniform"}}
POLICIES = ("lru", "fifo", "lfu", "gdsf", "sieve", "s3fifo", "belady")


def main(arguments: Sequence[str]) -> None:
    """Run them, the small caches first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--mib", default=",".join(map(str, range(128, 1025, 128))))
    given = parser.parse_args(arguments)
    rows = _trace(given.data / "traces" / "cloudphysics_block_sample.csv.gz", "model", "size_bytes")
    requests, n_models = _numbered([name for name, _ in rows])
    sizes = [0] * n_models
    for model, (_, size) in zip(requests.tolist(), rows, strict=True):
        sizes[model] = sizes[model] or int(size)
    for mib in map(int, given.mib.split(",")):
        for policy in given.policies.split(","):
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                built = one_cache(Path(folder), sizes, mib * MIB, requests, policy, **PARAMS.get(policy, {}))
                misses = len(requests) - hits(built)
            published = MISSES[policy][mib // 128 - 1]
            same = "same" if misses == published else "DIFFERENT"
            print(f"{policy:8} {mib:5} MiB  {misses:6}  published {published:6}  {same:9}  "
                  f"{time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
