"""What-if on history: every past is read for what it is, what it lacks is said, and both sides are counted alike."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from history_parts import (
    NOON,
    Point,
    asked,
    metric_data,
    published,
    queries,
    recorded_run,
    scenario_file,
    write_json,
)

from mmesim.errors import InputError
from mmesim.planner.history.answers import FAILED, HIT, LATENCY, Answers, read_requests
from mmesim.planner.history.cloudwatch import evidence_of, metric_in, read_export
from mmesim.planner.history.effects import effects
from mmesim.planner.history.evidence import Evidence, Track
from mmesim.planner.history.fidelity import Trust, agreements, courses, trusted, verdict
from mmesim.planner.history.numbers import NUMBERS, Number
from mmesim.planner.history.past import Past
from mmesim.planner.history.read import read_past, sliced
from mmesim.planner.history.replay import Window, window_of
from mmesim.results.comparison import Metric
from mmesim.results.run import Run
from mmesim.scenario.load import load_scenario

S = 1_000_000_000
SHORT = ("duration=5m", "seed=7")
LOG = """at,target_model,latency_ms,status,cache_hit,items
2026-03-02T12:00:10Z,resnet-00.tar.gz,100,200,true,1
2026-03-02T12:00:05Z,resnet-01.tar.gz,900,200,false,1
2026-03-02T12:01:00Z,resnet-00.tar.gz,5000,503,,1
2026-03-02T12:02:30Z,resnet-00.tar.gz,140,200,true,1
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> str:
    return scenario_file(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def run(shop: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of five minutes, requests recorded."""
    return recorded_run(shop, tmp_path_factory.mktemp("recorded") / "run", *SHORT)


def answers(**columns: list[float]) -> Answers:
    """Requests one second apart."""
    n = len(next(iter(columns.values())))
    return Answers.of(np.arange(n) * S, {name: np.array(values, float) for name, values in columns.items()})


# ---- numbers


def test_statistics_of_requests_by_hand() -> None:
    nan = math.nan
    some = answers(latency=[1, 2, 3, 4, nan, 100], failed=[0, 0, 0, 0, 1, 0], hit=[1, 1, 1, 0, 0, 0], none=[nan] * 6)
    assert some.statistic(LATENCY, "mean") == 22 and some.statistic(LATENCY, "p50") == 3
    assert some.statistic(LATENCY, "p99") == 100 and some.statistic(LATENCY, "p99", "warm") == 3
    assert some.statistic(LATENCY, "p50", "cold") == 4 and some.statistic(HIT, "misses") == 3
    assert some.statistic(FAILED, "mean") == pytest.approx(1 / 6)
    assert "none" not in some.columns and some.statistic("none", "mean") is None, "nothing known is nothing told"
    assert some.between(S, 3 * S).statistic(LATENCY, "mean") == 2.5
    assert answers(latency=[1, 2]).statistic(LATENCY, "p50", "warm") is None, "hits were not recorded"


def test_tracks_by_hand() -> None:
    minute = 60 * S
    at = np.array([0, minute, 2 * minute])
    calls = Track.of("sum", at, at + minute, np.array([60.0, 30.0, 90.0]))
    hits = Track.of("by requests", at, at + minute, np.array([0.5, math.nan, 0.9]))
    level = Track.of("mean", at, at + minute, np.array([1.0, 2.0, 4.0]))
    tail = Track.of("each", at, at + minute, np.array([10.0, 20.0, 60.0]))
    known = Evidence(None, {"requests": calls, "h": hits, "l": level, "t": tail})
    assert known.requests(0, 3 * minute) == 180 and known.requests(minute // 2, minute) == 30, "a part in proportion"
    assert known.of_track("h", 0, 3 * minute) == pytest.approx((0.5 * 60 + 0.9 * 90) / 150), "by requests, gap left out"
    assert known.of_track("l", minute // 2, 2 * minute) == pytest.approx((0.5 * 1 + 2) / 1.5)
    assert known.of_track("t", 1, 3 * minute) == 40, "whole periods only"
    assert known.of_track("h", minute, 2 * minute) is None and known.of_track("x", 0, minute) is None
    moved = known.moved(-minute)
    assert moved.requests(0, minute) == 30


def test_quantiles_of_periods_are_made_alike_on_both_sides() -> None:
    """The plain mean of each period's own quantile, at the record's periods."""
    metric = Metric("latency.all.p50 of each period", "", "ms", -1)
    number = Number(metric, LATENCY, "p50", period_ns=2 * S, phase_ns=-S)
    simulated = Evidence(answers(latency=[9, 1, 1, 5, 5, 7]))
    assert number.value(simulated, 0, 6 * S) == 3, "periods [1, 3) and [3, 5); the others are cut"


def test_simulated_requests_give_the_numbers_of_the_summary(run: Path) -> None:
    """The same run counted by this package and by the simulator itself."""
    known = Run.load(run).summary
    past = read_past(run)
    found = {number.key: number.value(past.evidence, 60 * S, past.end_ns) for number in NUMBERS}
    assert found["cache.hit_ratio"] == pytest.approx(known["cache"]["hit_ratio"], abs=2e-3), "counted when they came"
    assert found["residency.loads"] == known["residency"]["loads"]
    assert found["instances.mean"] == known["instances"]["mean"] == 1
    assert found["GPUUtilization"] == pytest.approx(known["use"]["gpu"]["mean"], rel=1e-5)
    for key in ("latency.all.mean", "latency.all.p99", "latency.cold.p50", "latency.warm.p90"):
        _, kind, name = key.split(".")
        assert found[key] == pytest.approx(known["latency"][kind][name], rel=0.03), key
    assert found["requests.error_rate"] == 0


def test_a_record_lacks_what_nobody_measured(run: Path) -> None:
    bare, _, _ = read_requests(run / "requests.parquet", tiers=False, parts=False)
    assert set(bare.columns) == {LATENCY, FAILED}


# ---- pasts


def test_a_log(tmp_path: Path, shop: str) -> None:
    file = tmp_path / "log.csv"
    file.write_text(LOG.replace("at,target", "timestamp,target"))
    past = read_past(file)
    assert past.begins_unix_ns == round(NOON.timestamp()) * S + 5 * S, "time 0 is the first request"
    assert past.rows.t_ns.tolist() == [0, 5 * S, 55 * S, 145 * S] and past.end_ns == 146 * S
    values = {number.key: number.value(past.evidence, 0, past.end_ns) for number in NUMBERS}
    assert values["cache.hit_ratio"] == pytest.approx(2 / 3) and values["requests.error_rate"] == 0.25
    assert values["latency.all.p99"] == 900, "an error's time is no latency"
    assert values["residency.loads"] is None and values["GPUUtilization"] is None
    assert any("cache_hit could not be understood" in text for text in past.notes)
    answer = asked(shop, past, tmp_path, seeds=1)
    assert any("names of archives" in text for text in answer.notes) and "loads" in answer.not_recorded
    assert any("54 of 56 models" in text for text in answer.notes)


def test_a_latency_without_a_unit_is_not_guessed(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("timestamp_s,model,latency\n0,a,3\n1,a,4\n")
    past = read_past(file)
    assert past.evidence.answers is not None and not past.evidence.answers.columns
    assert any("no latency that names its unit" in text for text in past.notes)
    file.write_text("timestamp_s,model,latency_us\n0,a,3000\n1,a,4000\n")
    known = read_past(file).evidence.answers
    assert known is not None and known.statistic(LATENCY, "mean") == 3.5


def test_unknown_models_are_told(tmp_path: Path, shop: str) -> None:
    file = tmp_path / "log.csv"
    file.write_text("timestamp_s,model\n0,resnet-00\n1,bert-9\n")
    with pytest.raises(InputError, match="1 ids of the trace are not models of this scenario: 'bert-9'"):
        asked(shop, read_past(file), tmp_path)


def test_a_folder_that_is_no_past(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a run nor a journal"):
        read_past(tmp_path)


def test_a_run_without_its_requests(run: Path, shop: str, tmp_path: Path) -> None:
    """Totals per minute and each model's share; quantiles of each minute."""
    import shutil

    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "requests.parquet").unlink()
    past, whole = read_past(tmp_path / "run"), read_past(run)
    assert past.is_totals and past.shares is not None and past.shares["resnet-00"] > 0
    in_flight = Run.load(run).summary["requests"]["in_flight_at_end"]
    assert past.evidence.requests(0, past.end_ns) == len(whole.rows.t_ns) + in_flight, "what had not ended has no row"
    answer = asked(shop, past, tmp_path, seeds=2)
    hits, tail = answer.agreement("cache.hit_ratio"), answer.agreement("latency.all.p99 of each period")
    assert hits is not None and abs(hits.difference or 1) < 0.02, "another order of the same models"
    assert tail is not None and "mean of each 60 s" in tail.metric.title and abs(tail.difference or 1) < 0.1
    assert any("drawn by the shares of its models" in text for text in answer.notes)


# ---- the slice


def test_slices(run: Path) -> None:
    past = read_past(run)
    part = sliced(past, "1m", "3m")
    assert part.end_ns == 120 * S and part.evidence.requests(0, part.end_ns) == past.evidence.requests(60 * S, 180 * S)
    assert part.rows.t_ns[0] == past.rows.t_ns[np.searchsorted(past.rows.t_ns, 60 * S)] - 60 * S
    assert sliced(past, last="2m").end_ns == 120 * S
    with pytest.raises(InputError, match="says the slice twice"):
        sliced(past, "1m", last="2m")
    with pytest.raises(InputError, match="nothing is left"):
        sliced(past, "6m")
    with pytest.raises(InputError, match="count from 0"):
        sliced(past, "2026-03-02T12:01:00Z")
    dated = read_past(run, begins="2026-03-02T12:00:00Z")
    assert sliced(dated, "2026-03-02T12:01:00Z").end_ns == 240 * S


def test_the_warm_up_is_the_scenarios_or_a_tenth(run: Path, shop: str) -> None:
    past = read_past(run)
    assert window_of(past, load_scenario(shop)).warmup_ns == 60 * S
    assert window_of(past, load_scenario(shop, ["warmup=0s"])).warmup_ns == 30 * S
    assert window_of(past, load_scenario(shop, ["warmup=9m"])).warmup_ns == 30 * S, "more than there is"
    window = Window(30 * S, 300 * S, 60 * S)
    assert window.pieces[0] == (30 * S, 90 * S) and len(window.pieces) == 4


# ---- CloudWatch


def test_cloudwatch_beside_a_trace(tmp_path: Path, run: Path) -> None:
    """An answer in the API's own shape: latest first, microseconds, no statistic but in the label."""
    series = [Point("a", "ModelLatency", "p99", [5000, 7000]), Point("b", "ModelLatency", "Average", [2000, 4000]),
              Point("c", "ModelCacheHit", "Average", [0.5, 0.9]), Point("d", "CPUUtilization", "SampleCount", [2, 2]),
              Point("e", "Invocations", "Sum", [10, 30]), Point("f", "Invocation4XXErrors", "Sum", [0, 3]),
              Point("g", "Invocation5XXErrors", "Sum", [1, 0]), Point("h", "ModelSetupTime", "Average", [1, 1]),
              Point("i", "GPUUtilization", "Average", [20, 60]), Point("j", "ModelLoadingTime", "SampleCount", [4, 0])]
    export = read_export([write_json(tmp_path / "m.json", metric_data(series))])
    known = evidence_of(export, round(NOON.timestamp()) * S)
    assert known.of_track("ModelLatency.all.p99 of each period", 0, 120 * S) == 6, "ms"
    assert known.of_track("ModelLatency.mean", 0, 120 * S) == pytest.approx((2 * 10 + 4 * 30) / 40)
    assert known.of_track("cache.hit_ratio", 0, 120 * S) == pytest.approx(0.8)
    assert known.of_track("requests.error_rate", 0, 120 * S) == pytest.approx(4 / 40)
    assert known.of_track("instances.mean", 0, 120 * S) == 2 and known.of_track("GPUUtilization", 0, 120 * S) == 40
    assert known.of_track("residency.loads", 0, 120 * S) == 4
    assert any("ModelSetupTime" in text for text in export.notes)
    with pytest.raises(InputError, match="times count from 0"):
        read_past(run, [tmp_path / "m.json"])
    both = read_past(run, [tmp_path / "m.json"], "2026-03-02T12:00:00Z")
    assert both.evidence.answers is not None and "ModelLatency.all.p99 of each period" in both.evidence.tracks


def test_a_statistic_is_told_or_not_compared(tmp_path: Path) -> None:
    series = [Point("q1", "ModelLatency", "p99", [5000, 7000]), Point("q2", "Invocations", "Sum", [10, 30])]
    answer = write_json(tmp_path / "m.json", metric_data(series, labels=False))
    untold = read_export([answer])
    assert not untold.series and all("not told and not guessed" in text for text in untold.notes)
    told = read_export([answer, write_json(tmp_path / "queries.json", queries(series))])
    assert [(each.metric, each.statistic) for each in told.series] == [("ModelLatency", "p99"), ("Invocations", "Sum")]
    wrapped = write_json(tmp_path / "wrapped.json", {"MetricDataQueries": queries(series, 300)})
    assert read_export([wrapped, answer]).series[0].period_s == 300


@pytest.mark.parametrize(("label", "metric"), [
    ("ModelLatency p99", "ModelLatency"), ("my-endpoint GPUMemoryUtilization", "GPUMemoryUtilization"),
    ("gpu_utilization_avg", "GPUUtilization"), ("InvocationsPerInstance", "InvocationsPerInstance"), ("Latency", "")])
def test_names_of_metrics(label: str, metric: str) -> None:
    assert metric_in(label) == metric


def test_get_metric_statistics_and_the_console(tmp_path: Path) -> None:
    points = [{"Timestamp": "2026-03-02T12:01:00Z", "SampleCount": 30.0, "Average": 4000.0, "Unit": "Microseconds",
               "ExtendedStatistics": {"p99": 9000.0}},
              {"Timestamp": "2026-03-02T12:00:00Z", "SampleCount": 10.0, "Average": 2000.0, "Unit": "Microseconds",
               "ExtendedStatistics": {"p99": 5000.0}}]
    statistics = write_json(tmp_path / "s.json", {"Label": "ModelLatency", "Datapoints": points})
    (tmp_path / "console.csv").write_text("Full label,Invocations Sum\nLabel,Invocations Sum\n"
                                          "2026/03/02 12:00:00,10\n2026/03/02 12:01:00,30\n")
    known = evidence_of(read_export([statistics, tmp_path / "console.csv"]), round(NOON.timestamp()) * S)
    assert known.of_track("ModelLatency.mean", 0, 120 * S) == pytest.approx(3.5)
    assert known.of_track("ModelLatency.all.p99 of each period", 0, 120 * S) == 7


def test_wrong_exports(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing that CloudWatch answers"):
        read_export([write_json(tmp_path / "x.json", {"a": 1})])
    (tmp_path / "y.json").write_text("{")
    with pytest.raises(InputError, match="this is not JSON"):
        read_export([tmp_path / "y.json"])
    with pytest.raises(InputError, match="no Sum of Invocations"):
        read_past(write_json(tmp_path / "z.json", metric_data([Point("a", "ModelLatency", "p99", [5])])))


def test_metrics_alone_are_a_past(run: Path, shop: str, tmp_path: Path) -> None:
    """What CloudWatch would have told of a run is enough to find the run true, to the noise of other requests."""
    past = read_past(write_json(tmp_path / "metrics.json", metric_data(published(run))))
    assert past.is_totals and past.begins_unix_ns == round(NOON.timestamp()) * S
    answer = asked(shop, past, tmp_path, seeds=3)
    known = {each.metric.key: each for each in answer.agreements}
    assert known["requests"].difference == pytest.approx(0, abs=0.01)
    assert abs(known["cache.hit_ratio"].difference or 1) < 0.02, "the same popularity, other requests"
    assert abs(known["ModelLatency.mean"].difference or 1) < 0.01
    assert abs(known["ModelLatency.all.p99 of each period"].difference or 1) < 0.05
    assert known["instances.mean"].difference == 0 and abs(known["GPUUtilization"].difference or 1) < 0.5
    assert {"mean latency", "p99 latency"} <= set(answer.not_recorded), "CloudWatch has no whole latency"
    assert any("drawn by the scenario's popularity" in text for text in answer.notes)


# ---- fidelity and effects by hand


def two(key: str, unit: str, recorded: float, simulated: list[float]) -> tuple[Number, dict, list[dict]]:
    """A number, recorded and simulated."""
    column = {"cache.hit_ratio": HIT, "latency.all.p99": LATENCY}[key]
    number = Number(Metric(key, key, unit, 1), column, "p99" if unit == "ms" else "mean")
    return number, {key: recorded}, [{key: value} for value in simulated]


def test_the_verdict_holds_to_its_thresholds() -> None:
    tail, r1, s1 = two("latency.all.p99", "ms", 100, [108, 110])
    hits, r2, s2 = two("cache.hit_ratio", "ratio", 0.90, [0.892, 0.894])
    both = [{**a, **b} for a, b in zip(s1, s2, strict=True)]
    found = agreements([tail, hits], {**r1, **r2}, both, 0.95, Trust())
    assert trusted(found) is True and "10 % in latency.all.p99" in verdict(found)
    strict = agreements([tail, hits], {**r1, **r2}, both, 0.95, Trust(0.05, 0.005))
    assert trusted(strict) is False
    assert "latency.all.p99 is 9 % too high and cache.hit_ratio is 0.7 points too low" in verdict(strict)
    assert trusted([]) is None and "unchecked" in verdict([])


def test_effects_by_hand() -> None:
    tail, recorded, base = two("latency.all.p99", "ms", 100, [200, 210])
    found = agreements([tail], recorded, base, 0.95, Trust())
    (effect,) = effects([tail], base, [{tail.key: 100.0}, {tail.key: 105.0}], found, 0.95, Trust())
    assert effect.relative is not None and effect.relative.mean == -0.5 and effect.difference.mean == -102.5
    assert effect.predicted is not None and effect.predicted.mean == 50, "recorded times the simulated ratio"
    assert effect.is_trusted is False, "the simulated past is twice the recorded one"
    hits, recorded, base = two("cache.hit_ratio", "ratio", 0.97, [0.90, 0.90])
    found = agreements([hits], recorded, base, 0.95, Trust())
    (effect,) = effects([hits], base, [{hits.key: 0.95}, {hits.key: 0.95}], found, 0.95, Trust())
    assert effect.predicted is not None and effect.predicted.mean == 1, "a share plus the difference, no more than all"


def test_courses_by_hand() -> None:
    hits, _, _ = two("cache.hit_ratio", "ratio", 0, [])
    recorded = {f"{hits.key}@{k}": value for k, value in enumerate([0.1, 0.2, None, 0.4])}
    simulated = [{f"{hits.key}@{k}": value for k, value in enumerate([0.2, 0.3, 0.3, 0.5])}]
    (course,) = courses([hits], 4, recorded, simulated)
    assert course.n == 3 and course.correlation == pytest.approx(1) and course.mean_absolute_error == pytest.approx(0.1)
    flat = [{f"{hits.key}@{k}": 0.5 for k in range(4)}]
    assert courses([hits], 4, recorded, flat)[0].correlation is None


def test_what_the_past_decides_cannot_be_changed(run: Path, shop: str, tmp_path: Path) -> None:
    past: Past = read_past(run)
    for change, message in (("duration=5m", "given by the past"), ("endpoint.instances", "is no change"),
                            ("endpoint.instances=1", "changes nothing"), ("endpoint.instancs=2", "instancs")):
        with pytest.raises(InputError, match=message):
            asked(shop, past, tmp_path, change)


def test_json_is_json(run: Path, shop: str, tmp_path: Path) -> None:
    from mmesim.results.history_files import as_json, from_json
    from mmesim.results.run import to_json

    answer = asked(shop, run, tmp_path, "endpoint.eviction.gpu=gdsf", seeds=1)
    told = json.loads(to_json(as_json(answer)))
    assert as_json(from_json(told)) == told
    assert told["changes"][0]["effects"][0]["difference"]["low"] is None, "one seed tells no interval"
    assert told["agreements"][0]["difference"] == 0 and "with one seed" in " ".join(told["changes"][0]["sentences"])
