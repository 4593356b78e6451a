"""Claims of the literature (and of this project's own notes) that these worlds can test: there, here, and whether they
hold. A claim "holds" here when the measured figure reaches the claimed one, "in part" when only its direction does with
a confidence interval that excludes zero, else it does not hold. No claim was a target: nothing was tuned to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmesim.results.comparison import Comparison, Variant
from mmesim.results.comparison_interval import interval
from mmesim.yamldoc import parse_value

Found = Mapping[tuple[str, str], Comparison]
Row = tuple[str, str, str, str, str]
GPU, ROUTING, PREWARM = "endpoint.eviction.gpu", "endpoint.routing", "endpoint.prewarm"
SIMPLE = ("fifo", "lru", "lfu", "lfu_da", "lru_k", "gdsf", "sieve", "s3fifo", "random")


def claims(found: Found) -> list[Row]:
    """Every claim that the comparisons at hand can test."""
    return [row for claim in (_cost_aware, _sieve, _on_genai, _room_above, _warm_or_load, _locality, _histogram)
            for row in claim(found)]


def _variant(comparison: Comparison, path: str, use: str, **params: Any) -> Variant:
    """The variant with this policy."""
    for variant in comparison.variants:
        value = variant.settings.get(path)
        read = parse_value(value, path) if isinstance(value, str) else value
        written = {"use": read} if isinstance(read, str) else dict(read or {})
        if written == {"use": use, **params}:
            return variant
    raise AssertionError(f"no variant {path}={use}")


def _paired(comparison: Comparison, key: str, one: Variant, other: Variant) -> tuple[float, float, float]:
    """Mean of one/other over seeds, and its interval."""
    cells = comparison.cells.pivot(index="seed", columns="variant", values=key)
    ratios = (cells[one.name] / cells[other.name]).to_numpy(float)
    found = interval(ratios.tolist(), comparison.confidence)
    assert found, "a comparison has a seed"
    return found.mean, found.low, found.high


def _times(ratio: Sequence[float]) -> str:
    return f"{ratio[0]:.2f} x [{ratio[1]:.2f}, {ratio[2]:.2f}]"


def _change(ratio: Sequence[float]) -> str:
    low, high = sorted((100 * (ratio[1] - 1), 100 * (ratio[2] - 1)))
    return f"{100 * (ratio[0] - 1):+.1f} % [{low:+.1f}, {high:+.1f}]"


def _verdict(reached: bool, direction: bool) -> str:
    return "holds" if reached else "in part" if direction else "does not hold"


def _of(found: Found, name: str) -> Iterator[tuple[str, Comparison]]:
    return ((world, comparison) for (world, kind), comparison in found.items() if kind == name)


def _cost_aware(found: Found) -> Iterator[Row]:
    for world, comparison in _of(found, "eviction"):
        ratio = _paired(comparison, "load_s", _variant(comparison, GPU, "ttl", keep_alive="10m"),
                        _variant(comparison, GPU, "gdsf"))
        yield ("cost-aware caching has less cold-start overhead than a 10 min keep-alive, at the same memory",
               "FaasCache", "more than 3 x", f"{world}: {_times(ratio)} time loading",
               _verdict(ratio[1] > 3, ratio[1] > 1))


def _sieve(found: Found) -> Iterator[Row]:
    for world, comparison in _of(found, "eviction"):
        if world == "genai":
            continue
        sieve, lru = (_variant(comparison, GPU, use) for use in ("sieve", "lru"))
        hits = comparison.cells.pivot(index="seed", columns="variant", values="cache.hit_ratio")
        points = 100 * (hits[sieve.name] - hits[lru.name])
        yield ("SIEVE hits more than LRU on the Azure day at a tenth of the models", "object-level, unit sizes",
               "+9.9 points", f"{world}: {points.mean():+.1f} points ({points.min():+.1f} to {points.max():+.1f})",
               _verdict(points.min() > 9.9, points.min() > 0))


def _on_genai(found: Found) -> Iterator[Row]:
    for world, comparison in _of(found, "eviction"):
        if world != "genai":
            continue
        lru = _variant(comparison, GPU, "lru").values["cache.hit_ratio"].mean
        gaps = {use: 100 * (_variant(comparison, GPU, use).values["cache.hit_ratio"].mean - lru)
                for use in ("sieve", "s3fifo")}
        text = ", ".join(f"{use} {gap:+.1f}" for use, gap in gaps.items())
        yield ("SIEVE and S3-FIFO are within 1.3 points of LRU where requests come in sessions",
               "object-level, unit sizes", "1.3 points", f"genai: {text} points",
               _verdict(max(map(abs, gaps.values())) <= 1.3, False))


def _room_above(found: Found) -> Iterator[Row]:
    for world, comparison in _of(found, "eviction"):
        best = _variant(comparison, GPU, "belady").values["cache.hit_ratio"].mean
        more = [((1 - _variant(comparison, GPU, use).values["cache.hit_ratio"].mean) / (1 - best) - 1, use)
                for use in SIMPLE]
        (least, first), (most, last) = min(more), max(more)
        yield ("online policies have so many more misses than a clairvoyant one", "FOO (SIGMETRICS '18)",
               "11 to 43 %", f"{world}: {100 * least:.0f} % ({first}) to {100 * most:.0f} % ({last}), against Belady",
               _verdict(least >= 0.11 and most <= 0.43, least > 0))


def _warm_or_load(found: Found) -> Iterator[Row]:
    for world, comparison in _of(found, "routing"):
        one, other = (_variant(comparison, ROUTING, use) for use in ("least_expected_completion", "least_outstanding"))
        mean = _paired(comparison, "latency.all.mean", one, other)
        yield ("weighing the wait for a warm copy against another load lowers latency", "CIDRE (ASPLOS '25)",
               "up to -39.3 % overhead", f"{world}: mean latency {_change(mean)}",
               _verdict(mean[2] < 0.607, mean[2] < 1))


def _locality(found: Found) -> Iterator[Row]:
    for world, comparison in _of(found, "routing"):
        ratio = _paired(comparison, "latency.all.mean", _variant(comparison, ROUTING, "random", blind=True),
                        _variant(comparison, ROUTING, "ch_bl"))
        yield ("consistent hashing with bounded loads lowers latency against a router that knows no locality",
               "CH-RLU (HPDC '22)", "more than 2 x", f"{world}: {_times(ratio)} mean latency",
               _verdict(ratio[1] > 2, ratio[1] > 1))


def _histogram(found: Found) -> Iterator[Row]:
    """The 75th percentile over models, as Shahrad et al. count; memory is told beside it."""
    for world, comparison in _of(found, "roomy"):
        cold, memory = {}, {}
        for name in ("keep-alive 10 min", "hybrid histogram"):
            models = comparison.models[(comparison.models["variant"] == name)
                                       & (comparison.models["invocations"] > 0)]
            cold[name] = float((models["cold_starts"] / models["invocations"]).quantile(0.75))
            variant = next(variant for variant in comparison.variants if variant.name == name)
            memory[name] = variant.values["use.gpu_memory.mean"].mean
        (fixed, hybrid), (fixed_use, hybrid_use) = cold.values(), memory.values()
        ratio = fixed / hybrid if hybrid else float("inf")
        times = f"{ratio:.2f} x" if hybrid else "none left"
        yield ("a fixed 10 min keep-alive has more cold starts (75th percentile of models) than hybrid histogram, at "
               "equal memory", "Serverless in the Wild (ATC '20)", "about 2.5 x",
               f"{world}: {times} ({100 * fixed:.1f} and {100 * hybrid:.1f} %), with "
               f"{hybrid_use / fixed_use:.2f} x the memory",
               _verdict(ratio >= 2.5 and hybrid_use <= 1.05 * fixed_use, ratio > 1))
