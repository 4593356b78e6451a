"""Compares policies on real traces and writes the tables of docs/policies-on-traces.md.

    python -m benchmarks.on_traces DATA [--world azure-1350] [--only eviction] [--seeds 5] [--work FOLDER]

DATA holds `traces/` (made by others, not part of the program). Each comparison is one `mmesim compare` in FOLDER, so a
run that was stopped goes on where it was. All of them take about an hour on two cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.on_traces.claims import claims
from benchmarks.on_traces.worlds import World, worlds
from benchmarks.page import filled, table
from mmesim.results.comparison import Comparison, Interval, Variant
from mmesim.results.comparison_files import load

SETS: dict[str, list[str]] = {
    "eviction": ["--vary",
                 "endpoint.eviction.gpu=lru,fifo,random,lfu,lfu_da,lru_k,gdsf,{use: gdsf, cost: aggregate_delay},sieve,"
                 "s3fifo,{use: ttl, keep_alive: 10m},belady,belady_size"],
    "routing": ["--vary", "endpoint.routing=least_outstanding,random,{use: random, blind: true},power_of_two,ch_bl,"
                          "least_expected_completion,join_idle_warm"],
    "placement": ["--vary", "endpoint.placement=least_loaded,hash,random,modelmesh,popularity_replicas"],
    "prewarm": ["--vary", "endpoint.prewarm=none,hybrid_histogram,forecast"],
    "twins": ["--vary", "endpoint.like=sagemaker-mme,modelmesh,modelmesh-meant,seldon-overcommit,ray-multiplex,"
                        "triton-explicit,ollama-like"],
}
"""What `mmesim compare` varies. Clairvoyant policies stand among those they bound."""
ROOMY = ["--set", "endpoint.instance_type=roomy", "--set", "endpoint.instances=1",
         "--variant", "keep-alive 10 min: endpoint.eviction.gpu={use: ttl, keep_alive: 10m}",
         "--variant", "hybrid histogram: endpoint.prewarm=hybrid_histogram", "--baseline", "keep-alive 10 min"]
"""Memory for all models: what keep-alive and pre-warming do when nothing else evicts (the Azure worlds only)."""
SHOWN = {"cache.hit_ratio": ("hit ratio", 100, "%"), "latency.all.mean": ("mean", 0.001, "s"),
         "latency.all.p99": ("p99", 0.001, "s"), "load_s": ("loading", 1 / 3600, "h"),
         "requests.error_rate": ("errors", 100, "%")}


def main(arguments: Sequence[str]) -> None:
    """Compare, and write each table into the page as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--world")
    parser.add_argument("--only", choices=[*SETS, "roomy", "claims"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--stored", action="store_true", help="run nothing: write the page from what is in FOLDER")
    parser.add_argument("--work", type=Path, default=Path("build/on-traces"))
    parser.add_argument("--page", type=Path, default=Path(__file__).parents[2] / "docs" / "policies-on-traces.md")
    given = parser.parse_args(arguments)
    found: dict[tuple[str, str], Comparison] = {}
    for world in worlds(given.data, given.work):
        for name, options in [*SETS.items(), *([("roomy", ROOMY)] if world.name != "genai" else [])]:
            wanted = given.world in (None, world.name) and given.only in (None, name)
            folder = given.work / "reports" / f"{world.name}-{name}"
            if wanted and not given.stored:
                _compare(world, name, options, given.seeds, folder.parent)
            if (folder / "comparison.json").exists():
                found[world.name, name] = load(folder)
                _write(given.page, {f"{world.name} {name}": _rows(found[world.name, name])})
    _write(given.page, {"claims": table([("claim", "source", "there", "here", "verdict"), *claims(found)])})


def _compare(world: World, name: str, options: Sequence[str], seeds: int, out: Path) -> None:
    command = [sys.executable, "-m", "mmesim", "compare", str(world.scenario), "--seeds", str(seeds), "--out", str(out),
               "--name", f"{world.name}-{name}", *options]
    print(*command, file=sys.stderr)
    subprocess.run(command, check=True)


def _write(page: Path, tables: dict[str, str]) -> None:
    page.write_text(filled(page.read_text(encoding="utf-8"), tables), encoding="utf-8")


def _rows(comparison: Comparison) -> str:
    """The comparison as a table: means with intervals, and the regret of the hit ratio."""
    lines: list[tuple[str, ...]] = [("", *(f"{title}, {unit}" for title, _, unit in SHOWN.values()), "regret, points")]
    lines += [_row(variant) for variant in comparison.variants]
    if comparison.bound is not None:
        best = comparison.bound.values
        lines.append(("*best possible*", *(_cell(best.get(key), scale) for key, (_, scale, _) in SHOWN.items()), ""))
    return table(lines) + "\n\n" + "\n".join(f"- {verdict}" for verdict in comparison.verdicts)


def _row(variant: Variant) -> tuple[str, ...]:
    cells = (_cell(variant.values.get(key), scale) for key, (_, scale, _) in SHOWN.items())
    return variant.name, *cells, _cell(variant.regret.get("cache.hit_ratio"), 100)


def _cell(interval: Interval | None, scale: float) -> str:
    if interval is None:
        return ""
    return " ".join((f"{interval.mean * scale:.3g}", f"[{interval.low * scale:.3g}, {interval.high * scale:.3g}]"))


if __name__ == "__main__":
    main(sys.argv[1:])
