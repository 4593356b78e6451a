"""Whole comparisons of a small scenario: common random numbers, stored cells, bound, curve, files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from compare_parts import cell, tiny

from mmesim.dataplane.counters import SKETCH_BUCKETS
from mmesim.errors import InputError
from mmesim.parallel import Workers
from mmesim.planner.bounds import bound_of
from mmesim.planner.compare.assemble import Gathered, bound
from mmesim.planner.compare.regret import Measure, exceptions, measure
from mmesim.planner.compare.run import Plan, compare, finished
from mmesim.planner.compare.variants import contenders
from mmesim.planner.runs import orders
from mmesim.planner.runs.cells import Cell, cell_of
from mmesim.planner.runs.orders import order_of
from mmesim.planner.runs.scaled import with_resources
from mmesim.results.comparison_files import as_json, check_folder, in_place, load, save
from mmesim.results.output import OutputWriter
from mmesim.results.sketch import EDGES_NS, interpolated_ns, quantiles_ns
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate

GPU = "endpoint.eviction.gpu"


@contextmanager
def quietly(what: str, total: int) -> Iterator[None]:
    yield None


def plan(folder: Path, *values: str, seeds: int = 3, more: str = "", **options: object) -> Plan:
    chosen = contenders(tiny(folder, more), vary=[f"{GPU}={','.join(values)}"])
    return Plan(chosen, seeds, folder / "out" / ".cells", workers=Workers(1), **options)  # type: ignore[arg-type]


def compared(wanted: Plan) -> tuple:
    told: list[str] = []
    return compare(wanted, quietly, told.append), told


def requests_of(folder: Path, *overrides: str) -> pd.DataFrame:
    """Every request of a run, by number."""
    out = OutputWriter(folder / "run")
    simulate(build(load_scenario(tiny(folder), ["output.requests=true", *overrides])), out=out)
    rows = pd.read_parquet(out.path("requests.parquet")).sort_values(["serial", "attempt"], ignore_index=True)
    out.discard()
    return rows


def test_all_variants_of_a_seed_get_the_same_requests(tmp_path: Path) -> None:
    lru = requests_of(tmp_path)
    same = ["serial", "model", "issued_ns", "items"]
    for change in (f"{GPU}=lfu", "endpoint.instances=2", "endpoint.routing=random", "endpoint.prewarm=pinned"):
        other = requests_of(tmp_path, change)
        both = min(len(lru), len(other))  # those in flight at the end have no row
        shared = set(lru["serial"]) & set(other["serial"])
        assert len(shared) > 0.98 * both
        left, right = (rows[rows["serial"].isin(shared)][same].reset_index(drop=True) for rows in (lru, other))
        pd.testing.assert_frame_equal(left.astype({"model": str}), right.astype({"model": str}))
    assert not lru["latency_ns"].equals(requests_of(tmp_path, f"{GPU}=lfu")["latency_ns"])


def test_warm_requests_are_served_alike_under_every_policy(tmp_path: Path) -> None:
    """Service draws belong to the request: alone on a warm copy it takes the same time whatever the policy is."""
    law = 'models.0.service_law={law: lognormal, cv: 0.5}'
    lru, lfu = (requests_of(tmp_path, law, f"{GPU}={name}").set_index("serial") for name in ("lru", "lfu"))
    warm = lru.add_suffix("_a").join(lfu.add_suffix("_b"), how="inner")
    warm = warm[(warm["tier_a"] == "gpu") & (warm["tier_b"] == "gpu")
                & (warm["queue_ns_a"] + warm["queue_ns_b"] + warm["contention_ns_a"] + warm["contention_ns_b"] == 0)]
    assert len(warm) > 500 and warm["compute_ns_a"].nunique() > 400
    assert (warm["compute_ns_a"] == warm["compute_ns_b"]).mean() > 0.99


def test_the_same_policy_under_another_name_is_the_same_to_the_bit(tmp_path: Path) -> None:
    wanted = plan(tmp_path, "lru", "mine.py:Mine", "mine.py:Worst")
    comparison, _ = compared(wanted)
    mine = next(variant for variant in comparison.variants if variant.name == "Mine")
    assert all(found.low == found.high == 0 for found in mine.differences.values())
    assert "Mine and lru have the same p99 latency with every seed." in comparison.verdicts
    worst = next(variant for variant in comparison.variants if variant.name == "Worst")
    assert worst.differences["cache.hit_ratio"].high < -0.05 and worst.relative["residency.loads"].low > 0.5


def test_numbers_are_those_of_the_runs(tmp_path: Path) -> None:
    comparison, _ = compared(plan(tmp_path, "lru", "lfu", more="objective: {p99_ms: 3000}"))
    for seed in (3, 4, 5):
        run = simulate(build(load_scenario(str(tmp_path / "tiny.yaml"), [f"seed={seed}", f"{GPU}=lfu"])))
        cells = comparison.cells
        row = cells[(cells["variant"] == "lfu") & (cells["seed"] == seed)].iloc[0]
        assert row["cache.hit_ratio"] == run.summary["cache"]["hit_ratio"]
        assert row["latency.all.p99"] == pytest.approx(run.summary["latency"]["all"]["p99"], rel=1 / 128)
        assert row["slo_attainment"] == pytest.approx(
            run.summary["objective"]["targets"]["p99_ms"]["attainment"], rel=1e-5)
        lanes = run.lanes[(run.lanes["load_ns"] >= 30e9) & (run.lanes["ready_ns"] >= 0)]
        assert row["load_s"] == pytest.approx((lanes["ready_ns"] - lanes["load_ns"]).sum() / 1e9)
        assert row["residency.loads"] == run.summary["residency"]["loads"]
    assert comparison.variants[0].values["cache.hit_ratio"].mean == pytest.approx(
        comparison.cells[comparison.cells["variant"] == "lru"]["cache.hit_ratio"].mean())
    models, series = comparison.models, comparison.series
    assert list(models.columns) == ["variant", "model", "invocations", "hit_ratio", "mean_ms", "p99_ms", "cold_starts",
                                    "loads", "completions", "failed"] and len(models) == 2 * 56
    assert list(series.columns) == ["variant", "t_s", "interval_s", "invocations", "hit_ratio", "loads", "unloads",
                                    "instances", "p99_ms"]
    assert comparison.ranked_by == "latency.all.p99" and comparison.variants[0].met_objective is True


def test_quantiles_of_close_runs_are_close() -> None:
    """Two runs on either side of a bucket's edge: the middles differ by a whole bucket, what is compared hardly."""
    values, edge = np.random.default_rng(1).lognormal(0, 0.3, 200_000), EDGES_NS[800]
    values *= edge / np.quantile(values, 0.9)
    runs = [np.bincount(np.searchsorted(EDGES_NS, factor * values, side="right") - 1, minlength=SKETCH_BUCKETS)
            for factor in (0.999, 1.001)]
    middles, close = ([read(counts, (0.9,))[0] for counts in runs] for read in (quantiles_ns, interpolated_ns))
    assert middles[1] / middles[0] - 1 > 0.007
    assert close[1] / close[0] - 1 == pytest.approx(0.002, abs=0.001) and close[0] / edge == pytest.approx(0.999, 1e-3)
    assert interpolated_ns(np.array([0, 4] + [0] * (SKETCH_BUCKETS - 2)), (0.5,)) == [1.5 * EDGES_NS[1]]
    assert interpolated_ns(np.zeros(SKETCH_BUCKETS, np.int64), (0.5,)) == [None]


def test_no_variant_passes_the_bound(tmp_path: Path) -> None:
    comparison, _ = compared(plan(tmp_path, "lru", "lfu"))
    assert comparison.bound is not None
    for variant in comparison.variants:
        assert set(variant.regret) == {"cache.hit_ratio", "residency.loads", "load_s"}
        assert variant.regret["cache.hit_ratio"].mean > 0 and variant.regret["residency.loads"].mean > 0


def test_what_is_stored_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, told = compared(plan(tmp_path, "lru", "lfu"))
    assert not told
    more = plan(tmp_path, "lru", "lfu", seeds=4)
    runs: list[int] = []
    monkeypatch.setattr(orders, "simulate", lambda built: runs.append(built.seed) or simulate(built))
    second, told = compared(more)
    assert runs == [6, 6] and told == ["6 of 8 runs are stored already"]
    assert [one.values["cache.hit_ratio"].n for one in second.variants] == [4, 4]
    again, _ = compared(plan(tmp_path, "lru", "lfu"))
    assert runs == [6, 6]
    ours, theirs = ({**as_json(one), "timing": None} for one in (first, again))
    assert ours == theirs


def test_an_edited_policy_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared(plan(tmp_path, "lru", "mine.py:Mine", seeds=1))
    text = (tmp_path / "mine.py").read_text()
    runs: list[int] = []
    monkeypatch.setattr(orders, "simulate", lambda built: runs.append(built.seed) or simulate(built))
    chosen = contenders(str(tmp_path / "tiny.yaml"), vary=[f"{GPU}=lru,mine.py:Mine"])
    compared(Plan(chosen, 1, tmp_path / "out" / ".cells", workers=Workers(1)))
    assert runs == []
    key = "np.maximum(candidates.last_use_ns, candidates.since_ns)"
    assert key in text
    (tmp_path / "mine.py").write_text(text.replace(key, "candidates.uses"))
    chosen = contenders(str(tmp_path / "tiny.yaml"), vary=[f"{GPU}=lru,mine.py:Mine"])
    compared(Plan(chosen, 1, tmp_path / "out" / ".cells", workers=Workers(1)))
    assert runs == [3]


@pytest.mark.parametrize(("policy", "told"), [
    ("Raises", r"Raises.victims raised KeyError: 'oh' \(variant 'Raises', seed 3\)"),
    ("Wrong", r"named model \d+, which is not a candidate .*\(variant 'Wrong', seed 3\)"),
    ("Loops", r"Loops.victims does not come back: .*\(variant 'Loops', seed 3\)")])
def test_a_policy_that_misbehaves_is_named_and_the_rest_stays(tmp_path: Path, policy: str, told: str,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmesim.sim.blame.DECISION_LIMIT_S", 0.3)
    wanted = plan(tmp_path, "lru", f"mine.py:{policy}", seeds=1)
    with pytest.raises(InputError, match=told):
        compared(wanted)
    assert order_of(wanted.contenders[0], 3, wanted.cells).load() is not None
    assert finished(wanted) is None, "no seed is complete"


def test_a_cell_survives_its_file_and_half_a_file_is_none(tmp_path: Path) -> None:
    found = cell_of(simulate(build(load_scenario(tiny(tmp_path)))))
    found.save(tmp_path / "cell.npz")
    again = Cell.load(tmp_path / "cell.npz")
    assert again is not None and again.values == found.values and (again.sketch == found.sketch).all()
    assert all((again.models[name] == column).all() or np.isnan(column).any() for name, column in found.models.items())
    whole = (tmp_path / "cell.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[:len(whole) // 2])
    assert Cell.load(tmp_path / "half.npz") is None and Cell.load(tmp_path / "none.npz") is None


def test_the_curve_scales_memory_and_nothing_else(tmp_path: Path) -> None:
    built = build(load_scenario(tiny(tmp_path)))
    half = with_resources(built, {"memory": 0.5})
    instance = built.endpoint.instance
    assert half.endpoint.instance == replace(instance, gpu_bytes=round(instance.gpu_bytes / 2))
    assert replace(half, endpoint=built.endpoint) == built
    comparison, _ = compared(plan(tmp_path, "lru", "lfu", memory=(0.5, 1.0, 2.0)))
    curve = comparison.curve
    assert sorted(set(curve["variant"])) == ["best possible", "lfu", "lru"] and len(curve) == 9
    lru = curve[curve["variant"] == "lru"]["hit_ratio"].tolist()
    assert lru == sorted(lru) and lru[0] < lru[1] - 0.05
    assert lru[1] == pytest.approx(comparison.variants[0].values["cache.hit_ratio"].mean), "100 % is the comparison"
    best = curve[curve["variant"] == "best possible"]["hit_ratio"].tolist()
    assert all(ours <= bound for ours, bound in zip(lru, best, strict=True))


def test_seeds_are_added_until_decided(tmp_path: Path) -> None:
    sure, _ = compared(plan(tmp_path, "lru", "mine.py:Mine", seeds=30, until_decided=True))
    assert len(sure.seeds) == 3, "equal in every run: nothing to find out"
    wanted = plan(tmp_path, "lru", "lfu", seeds=5, until_decided=True, rank_by="cache.hit_ratio")
    found, _ = compared(wanted)
    assert len(found.seeds) in (3, 4, 5) and any("hit ratio" in said for said in found.verdicts)


def test_a_saved_comparison_is_the_same(tmp_path: Path) -> None:
    for seeds in (1, 2):
        comparison, _ = compared(plan(tmp_path, "lru", "lfu", seeds=seeds, memory=(1.0,)))
        with in_place(tmp_path / "out") as scratch:
            save(comparison, scratch)
        again = load(tmp_path / "out")
        assert as_json(again) == as_json(comparison)
        assert again.variants[1].values == comparison.variants[1].values
        assert all((a.sketch == b.sketch).all() for a, b in zip(again.variants, comparison.variants, strict=True))
        for name in ("cells", "models", "series", "curve"):
            pd.testing.assert_frame_equal(getattr(again, name), getattr(comparison, name))
    assert (tmp_path / "out" / ".cells").is_dir(), "the cells stay"
    check_folder(tmp_path / "out")


def test_a_folder_with_other_things_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(InputError, match="not a comparison"):
        check_folder(tmp_path)


AHEAD = """

from mmesim.core.policy import Prewarm, PrewarmPolicy


@dataclass
class Ahead(PrewarmPolicy):
    period_s: float = 20.0

    def plan(self, endpoint, now_ns):
        yield from (Prewarm(None, model) for model in range(4))
"""


def test_the_bound_is_that_which_holds_for_the_variant(tmp_path: Path) -> None:
    """Who loads ahead is measured against the bound of every policy, and who fails requests not in loads."""
    scenario = tiny(tmp_path)
    (tmp_path / "ahead.py").write_text("from dataclasses import dataclass\n" + AHEAD)
    chosen = contenders(scenario, vary=[f"{GPU}=lru"], variant=[
        "ahead: endpoint.prewarm=ahead.py:Ahead", "refuses: endpoint.admission={use: queue_limit, per_endpoint: 2}",
        "spills: endpoint.instances=2; endpoint.routing={use: least_outstanding, spill_outstanding: 1}"])
    wanted = Plan(chosen, 2, tmp_path / "out" / ".cells", workers=Workers(1))
    comparison, _ = compared(wanted)
    regret = {variant.name: variant.regret for variant in comparison.variants}
    assert set(regret["lru"]) == {"cache.hit_ratio", "residency.loads", "load_s"}
    assert set(regret["ahead"]) == set(regret["refuses"]) == set(regret["spills"]) == {"cache.hit_ratio"}
    for one in chosen[1:]:
        assert one.bound_digest == chosen[0].bound_digest or one.name == "spills"
        numbers = [order_of(one, seed, wanted.cells, wants_bound=True).load() for seed in (3, 4)]
        held = "hit_ratio" if one.name == "refuses" else "foreseen_hit_ratio"
        variant = next(each for each in comparison.variants if each.name == one.name)
        assert regret[one.name]["cache.hit_ratio"].mean == pytest.approx(
            np.mean([each[held] for each in numbers]) - variant.values["cache.hit_ratio"].mean)
    told = comparison.bound.exceptions
    assert "The row does not bind ahead: models are loaded before they are asked for;" in told[0]
    assert "spills: the router wished for further copies of busy models (spill_outstanding=1);" in told[1]
    assert "for ahead, refuses and spills:" in told[2]


def measured(hits: list[float], loads: float = 9.0, **bounds: float) -> Measure:
    """An on-demand variant with these hit ratios, one a seed, against these bounds."""
    cells = [cell(cache__hit_ratio=one, residency__loads=loads, requests__error_rate=0.0) for one in hits]
    contender = contenders("quickstart", vary=[f"{GPU}=lru"])[0]
    best = {"hit_ratio": 0.8, "late_hit_ratio": 0.9, "foreseen_hit_ratio": 1.0, "loads": 5.0, "instances": 1, **bounds}
    return measure(contender, cells, [best] * len(hits))


def test_who_passes_a_bound_is_measured_against_the_next() -> None:
    """Any one seed above it is enough; with fewer loads than the least there is no distance in loads."""
    assert (measured([0.7, 0.8]).hits, measured([0.7, 0.8]).reason) == ("hit_ratio", "")
    waited, uncounted = measured([0.7, 0.81]), measured([0.7, 0.91])
    assert waited.hits == "late_hit_ratio" and waited.hits_at == (0.9, 0.9) and waited.loads
    assert uncounted.hits == "" and "no distance is shown" in exceptions([uncounted])[0]
    assert not measured([0.7], loads=4.0).loads and "No distance in loads" in exceptions([measured([0.7], 4.0)])[0]


def test_a_router_that_never_spills_never_wishes(tmp_path: Path) -> None:
    """A twin without spilling has none, however busy; where the scenario itself says so, its router counts."""
    (tmp_path / "busy.yaml").write_text(Path(tiny(tmp_path)).read_text().replace("rate_rps: 8", "rate_rps: 60").replace(
        "instances: 1", "instances: 2, like: ray-multiplex"))
    spilling = ["endpoint.routing={use: power_of_two, spill_outstanding: 1}"]
    silent, wishing = (cell_of(simulate(build(load_scenario(str(tmp_path / "busy.yaml"), more))))
                       for more in ([], spilling))
    assert silent.spill_wishes == 0 < wishing.spill_wishes


def test_intervals_of_the_bound_hold_nothing_negative() -> None:
    contender = contenders("quickstart", vary=[f"{GPU}=lru"])[0]
    numbers = [{"hit_ratio": hits, "late_hit_ratio": 1.0, "loads": loads, "load_s": loads / 2, "instances": 1,
                "note": ""} for hits, loads in ((1.0, 0.0), (0.9, 1.0), (1.0, 0.0))]
    cells = [cell(cache__hit_ratio=0.5, residency__loads=9.0, requests__error_rate=0.0)] * 3
    found = bound(Gathered([contender], [1, 2, 3], {"lru": cells}, {"lru": numbers}, 0.95))
    assert found and [found.values[key].low for key in ("residency.loads", "load_s")] == [0, 0]
    assert found.values["cache.hit_ratio"].high == 1 and found.values["residency.loads"].high > 1


def test_twins_are_compared_with_each_other(tmp_path: Path) -> None:
    """`endpoint.like` brings its rules: the variants are other scenarios and end otherwise."""
    chosen = contenders(tiny(tmp_path), vary=["endpoint.like=sagemaker-mme,seldon-overcommit"],
                        baseline="sagemaker-mme")
    assert [one.name for one in chosen] == ["sagemaker-mme", "seldon-overcommit"]
    uses = [one.scenario.endpoint.placement.use for one in chosen]
    assert uses == ["least_loaded", "overcommit"]
    comparison, _ = compared(Plan(chosen, 2, tmp_path / "out" / ".cells", workers=Workers(1)))
    mme, seldon = comparison.variants
    assert mme.values["requests.error_rate"].mean == 0 < seldon.values["requests.error_rate"].mean
    assert seldon.values["cache.hit_ratio"].mean != mme.values["cache.hit_ratio"].mean


@pytest.mark.parametrize("change", ["endpoint.provisioning.drain_timeout=7s", "endpoint.availability_zones=2",
                                    "faults=[{use: s3_slow, at: 1m, for: 1m, factor: 5}]",
                                    "endpoint.metrics.period=10s", f"{GPU}=lfu"])
def test_one_bound_serves_all_that_cannot_move_it(tmp_path: Path, change: str) -> None:
    plain, changed = (contenders(tiny(tmp_path), variant=[f"a: {one}"], baseline="a")[0]
                      for one in (f"{GPU}=lru", change))
    assert plain.bound_digest == changed.bound_digest and plain.digest != changed.digest
    assert bound_of(build(plain.scenario)) == bound_of(build(changed.scenario))
