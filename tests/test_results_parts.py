"""Parts of the results, each against arithmetic done another way: sketches, lanes, fleet time, output folders."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmesim.core import actions as ac
from mmesim.core import events as ev
from mmesim.dataplane.counters import SKETCH_BUCKETS, sketch_bucket
from mmesim.errors import InputError
from mmesim.results import fleet
from mmesim.results.lanes import THRASH_WINDOW_NS, Count, Lanes
from mmesim.results.output import OutputWriter
from mmesim.results.sketch import (
    EDGES_NS,
    MIDDLES_NS,
    RELATIVE_ERROR,
    count_within,
    largest_ns,
    quantile_ns,
    quantiles_ns,
)
from mmesim.results.summary import rounded
from mmesim.results.types import InstanceLife

LATENCIES = st.lists(st.integers(33_000, 4_000_000_000_000), min_size=1, max_size=60)
S = 1_000_000_000


def sketched(latencies: list[int]) -> np.ndarray:
    return np.bincount([sketch_bucket(value) for value in latencies], minlength=SKETCH_BUCKETS)


# ---- sketches


@given(st.integers(0, 5_000_000_000_000))
def test_a_latency_lies_between_the_edges_of_its_bucket(latency_ns: int) -> None:
    bucket = sketch_bucket(latency_ns)
    assert EDGES_NS[bucket] <= latency_ns
    assert latency_ns < EDGES_NS[bucket + 1] or bucket == SKETCH_BUCKETS - 1


@settings(max_examples=300)
@given(LATENCIES, st.floats(0.001, 1.0))
def test_quantiles_are_the_nearest_rank_ones_within_the_stated_error(latencies: list[int], fraction: float) -> None:
    exact = sorted(latencies)[max(1, math.ceil(fraction * len(latencies))) - 1]
    stated = quantile_ns(sketched(latencies), fraction)
    assert stated is not None and abs(stated - exact) <= RELATIVE_ERROR * exact


@given(LATENCIES, LATENCIES)
def test_sketches_merge_by_addition(one: list[int], other: list[int]) -> None:
    fractions = (0.5, 0.9, 0.99, 0.999)
    assert quantiles_ns(sketched(one) + sketched(other), fractions) == quantiles_ns(sketched(one + other), fractions)
    assert largest_ns(sketched(one + other)) == MIDDLES_NS[sketch_bucket(max(one + other))]


@given(LATENCIES, st.integers(1_000_000, 10**12))
def test_attainment_is_never_overstated(latencies: list[int], limit_ns: int) -> None:
    counted = count_within(sketched(latencies), limit_ns)
    assert counted <= sum(value <= limit_ns for value in latencies)
    assert counted >= sum(value <= limit_ns * (1 - 2 * RELATIVE_ERROR) for value in latencies)


def test_an_empty_sketch_has_no_quantiles() -> None:
    empty = np.zeros(SKETCH_BUCKETS, np.int64)
    assert (quantile_ns(empty, 0.5), largest_ns(empty), count_within(empty, 1e9)) == (None, None, 0)


# ---- lanes


def story(*steps: tuple[int, ev.Event, tuple[ac.Action, ...]]) -> Lanes:
    lanes = Lanes()
    for now_s, event, actions in steps:
        lanes.step(now_s * S, event, actions)
    return lanes


COLD_START = (
    (1, ev.ModelMissed(7), (ac.StartDownload(0, 7),)),
    (3, ev.DownloadFinished(0, 7), (ac.LoadModel(0, 7),)),
    (8, ev.LoadFinished(0, 7, 900, 0), (ac.Dispatch(0, 7),)))
EVICTION = (
    (20, ev.ModelMissed(8), (ac.UnloadModel(0, 7, "evicted for b"),)),
    (22, ev.UnloadFinished(0, 7), ()))


def test_a_stay_is_followed_from_load_to_unload() -> None:
    table = story(*COLD_START, *EVICTION).finish(60 * S)
    assert table.to_dict("records") == [{
        "slot": 0, "model": 7, "load_ns": 3 * S, "ready_ns": 8 * S, "unload_ns": 20 * S, "end_ns": 22 * S, "tier": 2,
        "reload": False, "gpu_bytes": 900, "reason": "evicted for b"}]


def test_a_load_soon_after_an_eviction_is_a_reload_from_disk() -> None:
    lanes = story(*COLD_START, *EVICTION, (30, ev.ModelMissed(7), (ac.LoadModel(0, 7),)))
    counts = lanes.take_counts()
    assert counts[Count.RELOADS] == 1 and counts[Count.LOADS_FROM_DISK] == 1 and counts[Count.LOADS_FROM_S3] == 1
    assert counts[Count.EVICTIONS] == counts[Count.UNLOADS] == 1 and lanes.unload_reasons == {"evicted": 1}
    assert lanes.take_counts() == [0] * len(Count)
    assert lanes.finish(60 * S)["end_ns"].tolist() == [22 * S, 60 * S], "a stay that goes on ends with the run"


@pytest.mark.parametrize("again", [
    (23 + THRASH_WINDOW_NS // S, ev.ModelMissed(7), (ac.LoadModel(0, 7),)),
    (30, ev.ModelMissed(7), (ac.LoadModel(1, 7),))], ids=["too late", "elsewhere"])
def test_what_is_no_reload(again: tuple[int, ev.Event, tuple[ac.Action, ...]]) -> None:
    assert story(*COLD_START, *EVICTION, again).take_counts()[Count.RELOADS] == 0


def test_an_instance_takes_its_stays_and_its_memory_of_them_along() -> None:
    lanes = story(*COLD_START, *EVICTION, (25, ev.ModelMissed(8), (ac.LoadModel(0, 8),)),
                  (26, ev.InstanceLost(0, "crash"), ()), (40, ev.InstanceJoined(0), ()),
                  (41, ev.ModelMissed(7), (ac.LoadModel(0, 7),)))
    assert lanes.take_counts()[Count.RELOADS] == 0
    table = lanes.finish(60 * S)
    assert table["reason"].tolist() == ["evicted for b", "instance lost", ""]
    assert table["end_ns"].tolist() == [22 * S, 26 * S, 60 * S]
    assert [(what, slot) for _, what, slot, _ in lanes.fleet_log] == [("lost", 0), ("joined", 0)]


def test_out_of_memory_counts_whoever_noticed_it() -> None:
    lanes = story((1, ev.ModelMissed(7), (ac.LoadModel(0, 7),)), (2, ev.LoadFailed(0, 7, True, "507"), ()),
                  (3, ev.Tick(), (ac.LoadModel(0, 7),)),
                  (4, ev.LoadFinished(0, 7, 99, 0), (ac.UnloadModel(0, 7, "out of memory"),)))
    counts = lanes.take_counts()
    assert counts[Count.OUT_OF_MEMORY] == 2 and counts[Count.EVICTIONS] == 0 and counts[Count.LOADS_FAILED] == 0
    assert lanes.finish(9 * S)["ready_ns"].tolist() == [-1, 4 * S]


# ---- instance time


def life(number: int, slot: int, launched_s: int, joined_s: int | None, ended_s: int | None) -> InstanceLife:
    joined, ended = (None if t is None else t * S for t in (joined_s, ended_s))
    return InstanceLife(number, slot, 0, launched_s * S, joined, ended, "" if ended_s is None else "drained")


LIVES = (life(0, 0, 0, 0, 50), life(1, 1, 10, 30, None), life(2, 0, 60, None, 70), life(3, 0, 70, 90, None))


def test_instance_time_within_a_window() -> None:
    assert fleet.billed_ns(LIVES, 20 * S, 100 * S) == (30 + 80 + 10 + 30) * S
    assert fleet.serving_ns(LIVES, 20 * S, 100 * S) == (30 + 70 + 10) * S
    assert fleet.serving_levels(LIVES, 0, 100 * S) == (1, 2)
    assert fleet.serving_levels(LIVES, 55 * S, 80 * S) == (1, 1)
    assert fleet.serving_levels(LIVES[1:2], 0, 100 * S) == (0, 1)
    assert fleet.serving_levels((), 0, 100 * S) == (0, 0)


def test_one_who_leaves_as_another_joins_is_no_gap() -> None:
    assert fleet.serving_levels((life(0, 0, 0, 0, 50), life(1, 1, 0, 50, None)), 0, 100 * S) == (1, 1)


def test_who_was_in_a_slot() -> None:
    times_s, slots = np.array([0, 49, 55, 65, 99, 5, 99]), np.array([0, 0, 0, 0, 0, 1, 1])
    assert fleet.numbers_at(LIVES, slots, times_s * S).tolist() == [0, 0, 0, 2, 3, -1, 1]


def test_cost() -> None:
    assert fleet.cost_of(3600 * S // 2, 0.94) == pytest.approx(0.47)
    assert fleet.cost_of(3600 * S, None) is None


# ---- numbers and folders


def test_rounding_keeps_counts_and_makes_plain_values() -> None:
    assert rounded({"n": np.int64(12345678901), "x": 0.1 + 0.2, "y": math.nan, "z": [True, None, "a"]}) == {
        "n": 12345678901, "x": 0.3, "y": None, "z": [True, None, "a"]}


def test_a_result_appears_whole_and_replaces_only_results(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "a"
    for content in ("old", "new"):
        out = OutputWriter(folder)
        out.path("summary.json").write_text(content)
        assert not folder.exists() or (folder / "summary.json").read_text() == "old"
        assert out.commit() == folder
    assert (folder / "summary.json").read_text() == "new"
    assert [path.name for path in folder.parent.iterdir()] == ["a"], "nothing is left beside it"
    OutputWriter(folder).discard()
    assert [path.name for path in folder.parent.iterdir()] == ["a"]


def test_a_folder_of_someone_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not a result"):
        OutputWriter(tmp_path)
    with pytest.raises(InputError, match="not a result"):
        OutputWriter(tmp_path / "thesis.tex")
    with pytest.raises(InputError, match="cannot write"):
        OutputWriter(tmp_path / "thesis.tex" / "run")
