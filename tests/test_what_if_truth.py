"""Is a what-if true? Against itself, against configurations that are wrong on purpose, and against the truth: runs and
live endpoints on which the change was really made.

What this proves: that the past is put in place, counted and compared rightly, that wrong configurations are found out,
and that a predicted change is the change that the simulator, or another realisation of a live endpoint's random times,
really shows. What it does not: that the simulator's physics is a GPU's. That is what fidelity is printed for.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from history_parts import (
    HALF_THE_MEMORY,
    asked,
    number,
    plain_models,
    recorded_run,
    scenario_file,
    world_as_scenario,
)
from live_world import Plan, World, setup

from mmesim.journal import LiveJournal
from mmesim.planner.history.evidence import Evidence
from mmesim.planner.history.numbers import NUMBERS, all_of
from mmesim.planner.history.read import read_past
from mmesim.results.run import Run

STREAM = "seed=101"
"""Another realisation of the requests than the configuration's own seed gives."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> str:
    return scenario_file(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def past(shop: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes of requests that the configuration's own seeds never make."""
    return recorded_run(shop, tmp_path_factory.mktemp("past") / "run", STREAM)


def test_the_right_configuration_agrees_within_noise(shop: str, past: Path, tmp_path: Path) -> None:
    answer = asked(shop, past, tmp_path, seeds=5)
    assert answer.trusted is True and "may be trusted" in answer.verdict
    known = {each.metric.key: each for each in answer.agreements}
    assert abs(known["requests"].difference or 0) < 1e-3, "what is in flight at the end has no row"
    assert known["requests.error_rate"].difference == 0
    assert abs(known["cache.hit_ratio"].difference or 1) < 0.003
    for key in ("residency.loads", "latency.all.mean", "latency.all.p50", "latency.warm.p99", "latency.cold.p50"):
        assert abs(known[key].difference or 0) < 0.03, key
    assert not answer.not_recorded, "a run records everything"
    hits = next(course for course in answer.courses if course.metric.key == "cache.hit_ratio")
    assert hits.correlation is not None and hits.correlation > 0.95


@pytest.mark.parametrize(("wrong", "complaint"), [
    (HALF_THE_MEMORY, "hit ratio is"), ("endpoint.eviction.gpu=fifo", "hit ratio is"),
    ("endpoint.instances=2", "hit ratio is"), ("models.0.load_time=5s", "p99 latency is")])
def test_a_wrong_configuration_is_found_out(shop: str, past: Path, tmp_path: Path, wrong: str, complaint: str) -> None:
    answer = asked(shop, past, tmp_path, overrides=[wrong], seeds=2)
    assert answer.trusted is False and complaint in answer.verdict and "Do not read a change" in answer.verdict


@pytest.mark.parametrize("change", ["endpoint.eviction.gpu=gdsf", "endpoint.eviction.gpu=fifo", "endpoint.instances=2",
                                    HALF_THE_MEMORY])
def test_a_predicted_change_is_the_one_that_comes(shop: str, past: Path, tmp_path: Path, change: str) -> None:
    """The truth: the change really made, on the very requests of the past."""
    truth = Run.load(recorded_run(shop, tmp_path / "truth", STREAM, change))
    made = asked(shop, past, tmp_path, change).changes[0]
    hits, loads, mean = (made.effect(key) for key in ("cache.hit_ratio", "residency.loads", "latency.all.mean"))
    assert hits is not None and loads is not None and mean is not None and hits.predicted and mean.predicted
    assert hits.predicted.mean == pytest.approx(number(truth, "cache.hit_ratio"), abs=0.005)
    assert mean.predicted.mean == pytest.approx(number(truth, "latency.all.mean"), rel=0.05)
    assert loads.predicted is not None
    assert loads.predicted.mean == pytest.approx(number(truth, "residency.loads"), rel=0.03)


def test_a_ratio_carries_over_what_the_configuration_has_wrong(shop: str, tmp_path: Path) -> None:
    """Loads really take 30 % longer than the configuration says. The recorded value times the simulated ratio is nearer
    to the truth than the simulated value alone, and the answer says that it is not to be trusted."""
    slow = "models.0.load_time=1.9s"
    past = recorded_run(shop, tmp_path / "past", STREAM, slow)
    truth = number(Run.load(recorded_run(shop, tmp_path / "truth", STREAM, slow, "endpoint.eviction.gpu=gdsf")),
                   "latency.all.mean")
    answer = asked(shop, past, tmp_path, "endpoint.eviction.gpu=gdsf")
    effect = answer.changes[0].effect("latency.all.mean")
    assert effect is not None and effect.predicted is not None and effect.is_trusted is False
    assert abs(effect.predicted.mean - truth) < 0.3 * abs(effect.simulated.mean - truth)
    assert answer.trusted is False


# ---- a live endpoint


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Journals of the same requests to live endpoints with two policies; all their times are random."""
    folder, known = tmp_path_factory.mktemp("lived"), plain_models(20)
    for policy in ("fifo", "lfu"):
        made_of = setup({"eviction": {"gpu": policy}}, known, gpu_mb=1000)
        sink = LiveJournal(folder / policy / "journal", made_of)
        World(made_of, known, Plan(seed=4, requests=5000, rate_rps=5, zipf=1.2), sink, check=False).run()
        sink.close()
    return {policy: folder / policy for policy in ("fifo", "lfu")}


def of_window(evidence: Evidence, since_s: float, until_s: float) -> dict[str, float | None]:
    """The usual numbers of a stretch of time."""
    return all_of(NUMBERS, evidence, round(since_s * 1e9), round(until_s * 1e9))


def test_a_live_journal_is_read_to_the_request(lived: dict[str, Path]) -> None:
    from mmesim.calibrate.shadow.observed import Observed
    from mmesim.journal import open_journal
    from mmesim.live.replay import setup_of

    past = read_past(lived["fifo"])
    with open_journal(lived["fifo"] / "journal") as journal:
        seen = Observed(setup_of(journal))
        for entry in journal.entries():
            seen.take(entry)
    found = of_window(past.evidence, 0, past.end_ns / 1e9 + 1)
    counts = seen.counts
    assert past.kind == "live journal" and found["requests"] == counts["requests"] == 5000
    assert found["cache.hit_ratio"] == pytest.approx(counts["hits"] / counts["lookups"], abs=1e-12)
    assert found["residency.loads"] == counts["loads"] and found["residency.unloads"] == counts["unloads"]
    assert found["instances.mean"] == 1 and found["requests.error_rate"] == 0
    assert past.begins_unix_ns is not None


def test_a_live_past_and_a_live_truth(lived: dict[str, Path], tmp_path: Path) -> None:
    """FIFO was recorded; LFU is asked for; a live endpoint under LFU tells what really comes."""
    file = world_as_scenario(tmp_path, plain_models(20), gpu_mb=1000, eviction="fifo")
    answer = asked(file, read_past(lived["fifo"]), tmp_path, "endpoint.eviction.gpu=lfu")
    assert answer.agreement("cache.hit_ratio").holds and answer.agreement("latency.all.p99").holds  # type: ignore[union-attr]
    warmup_s, length_s = answer.past["warmup_s"], answer.past["length_s"]
    before, truth = (of_window(read_past(lived[name]).evidence, warmup_s, length_s) for name in ("fifo", "lfu"))
    made = answer.changes[0]
    hits, loads = made.effect("cache.hit_ratio"), made.effect("residency.loads")
    assert hits is not None and loads is not None and hits.predicted is not None and loads.relative is not None
    assert (truth["cache.hit_ratio"] or 0) - (before["cache.hit_ratio"] or 0) > 0.1, "there is something to predict"
    assert hits.predicted.mean == pytest.approx(truth["cache.hit_ratio"], abs=0.03)
    assert loads.relative.mean == pytest.approx((truth["residency.loads"] or 0) / (before["residency.loads"] or 1) - 1,
                                                abs=0.06)


def test_trouble_in_a_journal_is_counted(tmp_path: Path) -> None:
    """Servers lost, loads that fail, requests refused: every request has its row, and every end its outcome."""
    from live_world import Trouble, models

    known = models(12)
    made_of = setup({"instances": {"initial": 2, "min": 1, "max": 3}}, known, gpu_mb=500)
    sink = LiveJournal(tmp_path / "journal", made_of)
    plan = Plan(seed=5, requests=1500, rate_rps=20, trouble=Trouble(load_fails=0.1, lost_per_s=0.02))
    world = World(made_of, known, plan, sink, check=False).run()
    sink.close()
    past = read_past(tmp_path)
    assert past.evidence.answers is not None
    failed = past.evidence.answers.columns["failed"]
    answered = sum(not ticket.failure for ticket in world.tickets)
    assert int((failed == 0).sum()) == answered and (failed == 1).sum() > 0
    level = past.evidence.of_track("instances.mean", 0, past.end_ns)
    assert level is not None and 1 < level <= 2.0001, "one is missing now and then"
