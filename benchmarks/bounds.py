"""How fast the bounds are: seconds for a million requests, Poisson arrivals, Zipf popularity, models of many sizes.

Run: ``python -m benchmarks.bounds [requests]``. CPU time of this process, the least of three runs; compilation of the
loops, which happens once an installation, is not in it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from mmesim.planner.bounds.delayed import Delayed
from mmesim.planner.bounds.offline import Requests, min_hits, pfoo_lower, pfoo_upper

MODELS = 2000
RATE_RPS = 100.0
LOAD_S = 2.0
WAIT_S = 58.0
SHARE = 0.1
"""Of all models' sizes fits."""


def requests_of(n: int) -> Requests:
    """So many requests."""
    rng = np.random.default_rng(1)
    weights = 1.0 / np.arange(1, MODELS + 1)
    model = rng.choice(MODELS, n, p=weights / weights.sum())
    return Requests(np.cumsum(rng.exponential(1 / RATE_RPS, n)), model.astype(np.int64), MODELS)


def cases(requests: Requests) -> dict[str, Callable[[], float]]:
    """What is timed; results are hits, loads saved, or loads."""
    size = np.random.default_rng(2).integers(100, 2000, MODELS)
    capacity = int(SHARE * size.sum())
    delayed, one = Delayed(requests, np.full(MODELS, LOAD_S)), np.ones(MODELS)
    world = size.astype(float), float(capacity), size <= capacity
    return {
        "MIN (a schedule)": lambda: min_hits(requests, size, capacity),
        "PFOO-L (a schedule)": lambda: pfoo_lower(requests, size, capacity),
        "PFOO-U": lambda: pfoo_upper(requests, size, capacity),
        "hits, prompt": lambda: delayed.prompt_hits(*world),
        "hits, late": lambda: delayed.late_hits(*world),
        "hits, foreseen": lambda: delayed.foreseen_hits(*world),
        "loads, prompt": lambda: delayed.load_cost(*world, 0.0 * one, one),
        "loads, waiting": lambda: delayed.load_cost(*world, WAIT_S * one, one),
    }


def main() -> None:
    """Prints one line a bound."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for bound in cases(requests_of(1000)).values():
        bound()
    for name in cases(requests_of(1000)):
        spent = []
        for _ in range(3):
            bound = cases(requests_of(n))[name]
            begin = time.process_time()
            result = bound()
            spent.append(time.process_time() - begin)
        print(f"{name:22} {min(spent):6.2f} s   {result / n:.4f} of the requests")


if __name__ == "__main__":
    main()
