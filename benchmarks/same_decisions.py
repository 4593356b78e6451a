"""Does a fresh controller decide the same? Live runs on a real Triton under several policies, each journal replayed.

    python -m benchmarks.same_decisions [--policies lru,gdsf,sieve] [--set PATH=VALUE ...] [--out DIR]

Prints a row a policy: requests, steps, loads, evictions, and the actions that came out the same. Needs
``pip install 'mmesim[parity]'``; takes five minutes a policy.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmesim.calibrate.parity.archives import write_archives
from mmesim.calibrate.parity.run import live_run
from mmesim.calibrate.parity.world import s3_server
from mmesim.cli.output import print_table
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario

SCENARIO = "scenarios/parity/thrash.yaml"
MANY = ["models.0.profile=quick.yaml", "workload.arrivals.rate_rps=70", "duration=300s", "models.0.load_time=100ms",
        "endpoint.server.load_threads=3", "workload.popularity.s=1.3"]
"""At least 20,000 requests and several hundred evictions."""


def main() -> None:
    """Run them one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policies", default="lru,gdsf,sieve")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--out", type=Path, default=Path("reports/same-decisions"))
    options = parser.parse_args()
    rows = []
    for policy in options.policies.split(","):
        chosen = [*MANY, *options.overrides, f"endpoint.eviction.gpu={policy}", "output.requests=true"]
        built = build(load_scenario(SCENARIO, chosen))
        folder = options.out / policy
        folder.mkdir(parents=True, exist_ok=True)
        with s3_server(write_archives(built.models, folder / "archives"), folder) as s3_url:
            lived = live_run(built, s3_url, folder, "live")
        counts, same = lived.replayed.counts, lived.replayed.equal
        rows.append({"eviction": policy, **{name: counts[name] for name in ("requests", "steps", "loads", "evictions")},
                     "actions": counts["actions"], "the same": same["actions"],
                     "errors": lived.run.summary["requests"]["failed"],
                     "hit ratio": f"{lived.run.summary['cache']['hit_ratio']:.1%}"})
        print_table(rows[-1:])
    print_table(rows, title="Every action of a live run, decided again by a fresh controller")


if __name__ == "__main__":
    main()
