"""Targets of the objective: what is asked, what a run has there, how it is judged and shown."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from compare_parts import tiny
from small_run import small_build, small_run

from mmesim.cli.progress import no_steps
from mmesim.errors import InputError
from mmesim.parallel import Workers
from mmesim.planner.runs.cells import KEPT, Cell, cell_of, met_of, with_attainment
from mmesim.planner.runs.contender import Contender
from mmesim.planner.runs.orders import carry_out, order_of
from mmesim.report.findings import findings
from mmesim.report.tables import targets as target_rows
from mmesim.report.wording import plural, target_title
from mmesim.results.objective import Columns, Target, asked, attainment, measured
from mmesim.results.run import Run
from mmesim.results.unmeasured import Part, without
from mmesim.scenario.load import load_scenario
from mmesim.scenario.objective import Objective

EACH = ("{small-*: {p99_ms: 1, error_rate: 0, at_least: 50}, "
        "big-*: {p99_ms: 100000, cold_start_ratio: 100%, at_least: 60}}")
WANTED = ("objective={p50_ms: 5000, p99_ms: 5000, warm_p50_ms: 50, warm_p99_ms: 0.5, error_rate: 100%, "
          f"cold_start_ratio: 0, cost_per_hour: 99, models: {EACH}}}", "checks.hopeless_objective=true")

MODELS: Columns = {
    "model": np.array(["bert-0", "bert-1", "bert-2", "resnet-0"]), "invocations": np.array([200, 150, 99, 500]),
    "completions": np.array([180, 0, 99, 500]), "failed": np.array([20, 150, 0, 0]),
    "p99_ms": np.array([300.0, math.nan, 9000.0, 40.0]), "cold_starts": np.array([18, 0, 99, 5])}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small_run(tmp_path_factory.mktemp("run"), *WANTED)


# ---- what is asked


def test_all_targets_that_are_set_are_asked() -> None:
    objective = Objective.model_validate({"p99_ms": 500, "warm_p50_ms": 20, "error_rate": "1%", "cost_per_hour": 3,
                                          "models": {"bert-*": {"p99_ms": 900, "at_least": 7}, "x": {}}})
    assert asked(objective) == (
        Target("p99_ms", 500, "ms", "latency.all.p99"), Target("warm_p50_ms", 20, "ms", "latency.warm.p50"),
        Target("error_rate", 0.01, "ratio", "requests.error_rate"),
        Target("cost_per_hour", 3, "USD/h", "cost.per_hour"),
        Target("models.bert-*.p99_ms", 900, "ms", "", "bert-*", "p99_ms", 7))
    assert asked(Objective()) == ()


def of_models(column: str, pattern: str = "bert-*", at_least: int = 100) -> float | None:
    return measured(Target("", 1.0, "", "", pattern, column, at_least), {}, MODELS)


def test_the_worst_model_with_requests_enough_counts() -> None:
    assert of_models("p99_ms", "resnet-*") == 40
    assert of_models("p99_ms", at_least=160) == 300
    assert of_models("p99_ms", at_least=99) == math.inf, "bert-1 never answered"
    assert of_models("error_rate") == 1.0
    assert of_models("error_rate", at_least=160) == pytest.approx(0.1)
    assert of_models("cold_start_ratio", at_least=160) == pytest.approx(0.1)
    assert of_models("cold_start_ratio") == 1.0
    assert of_models("p99_ms", at_least=1000) is None
    assert of_models("p99_ms", "gpt-*") is None


def test_a_pattern_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        small_build(tmp_path, "objective.models={smal-*: {p99_ms: 5}}")
    (problem,) = caught.value.problems
    assert "no model matches 'smal-*'" in problem.message
    assert "small-" in problem.hint


# ---- how a run is judged


def test_the_summary_judges_every_target(run: Run) -> None:
    judged = run.summary["objective"]
    targets, summary = judged["targets"], run.summary
    assert list(targets) == [
        "p50_ms", "p99_ms", "warm_p50_ms", "warm_p99_ms", "error_rate", "cold_start_ratio", "cost_per_hour",
        "models.small-*.p99_ms", "models.small-*.error_rate", "models.big-*.p99_ms", "models.big-*.cold_start_ratio"]
    assert [targets[name]["value"] for name in list(targets)[:7]] == [
        summary["latency"]["all"]["p50"], summary["latency"]["all"]["p99"], summary["latency"]["warm"]["p50"],
        summary["latency"]["warm"]["p99"], summary["requests"]["error_rate"], summary["cache"]["cold_start_ratio"],
        summary["cost"]["per_hour"]]
    assert [targets[name]["met"] for name in ("warm_p50_ms", "warm_p99_ms", "cost_per_hour")] == [True, False, True]
    assert judged["met"] is False


def test_targets_for_models_name_the_worst(run: Run) -> None:
    models, targets = run.models.set_index("model"), run.summary["objective"]["targets"]
    small = models[models.index.str.startswith("small-") & (models["Invocations"] >= 50)]
    found = targets["models.small-*.p99_ms"]
    assert found["model"] == small["latency_p99_ms"].idxmax()
    assert found["value"] == pytest.approx(small["latency_p99_ms"].max(), rel=1e-5)
    assert (found["met"], found["judged"], found["missed"]) == (False, len(small), len(small))
    big = models[models.index.str.startswith("big-") & (models["Invocations"] >= 60)]
    assert 0 < targets["models.big-*.p99_ms"]["judged"] == len(big) < 20
    assert targets["models.big-*.p99_ms"]["met"]
    assert targets["models.big-*.cold_start_ratio"]["value"] == pytest.approx(big["cold_ratio"].max(), rel=1e-5)


def test_nothing_to_judge_is_nothing_missed(tmp_path: Path) -> None:
    objective = small_run(tmp_path, "objective={models: {big-00: {p99_ms: 1, at_least: 99999}}}",
                          "checks.hopeless_objective=true").summary["objective"]
    (found,) = objective["targets"].values()
    assert objective["met"] is True
    assert (found["value"], found["model"], found["judged"]) == (None, None, 0)


def test_attainment_of_hits_is_about_hits(run: Run) -> None:
    targets, latency = run.summary["objective"]["targets"], run.summary["latency"]
    assert targets["warm_p50_ms"]["attainment"] >= 0.5
    assert targets["warm_p99_ms"]["attainment"] == 0
    ended = latency["all"]["count"] + run.summary["requests"]["failed"]
    assert targets["p99_ms"]["attainment"] <= latency["all"]["count"] / ended


def test_what_was_not_measured_is_not_judged(run: Run) -> None:
    less = without(run, {Part.CACHE}, {})
    assert less.summary["objective"]["not_judged"] == [
        "cold_start_ratio", "models.big-*.cold_start_ratio", "warm_p50_ms", "warm_p99_ms"]


# ---- how it is shown


def test_every_target_can_be_shown(run: Run) -> None:
    rows = {row["name"]: row for row in target_rows(run.summary)}
    assert list(rows) == [target_title(name) for name in run.summary["objective"]["targets"]]
    shown = rows["p99 latency of small-*"]["value"]
    found = run.summary["objective"]["targets"]["models.small-*.p99_ms"]
    assert f"({found['model']}; {found['missed']} of {plural(found['judged'], 'model')} missed it)" in shown
    assert rows["p99 latency of hits"]["attainment"] == "0 % of hits"
    said = " ".join(findings(run.summary))
    assert "Objective missed: p99 latency of small-* is" in said
    assert target_title("models.a.b-*.error_rate, an instance lost") == "error rate of a.b-*, an instance lost"


# ---- cells know nothing of it


def test_a_cell_keeps_what_targets_are_about(run: Run, tmp_path: Path) -> None:
    cell = cell_of(run)
    cell.save(tmp_path / "cell.npz")
    again = Cell.load(tmp_path / "cell.npz")
    assert again.values == cell.values
    assert list(cell.values) == list(KEPT)
    assert cell.values["latency.warm.p99"] == pytest.approx(run.summary["latency"]["warm"]["p99"], rel=1 / 128)
    objective = Objective.model_validate(
        {"p99_ms": 5000, "cost_per_hour": 99, "models": {"big-*": {"p99_ms": 100_000, "at_least": 60}}})
    for target in asked(objective):
        value = run.summary["objective"]["targets"][target.name]["value"]
        assert measured(target, again.values, again.models) == pytest.approx(value, rel=1 / 128)
    assert met_of(objective, again) is True
    assert met_of(Objective(error_rate=0.0), again) is (cell.failed == 0)
    assert met_of(Objective(), again) is None
    p99 = next(target for target in asked(objective) if target.name == "p99_ms")
    assert with_attainment(objective, again).values["slo_attainment"] == attainment(p99, cell.sketch, cell.failed)
    assert with_attainment(objective, again).values["slo_attainment"] == pytest.approx(
        run.summary["objective"]["targets"]["p99_ms"]["attainment"], rel=1e-5)


def test_another_objective_runs_nothing_again(tmp_path: Path) -> None:
    loose = load_scenario(tiny(tmp_path), ["objective.p99_ms=3000"])
    for objective, met in ((Objective(p99_ms=3000), True), (Objective(p99_ms=300), False), (Objective(), None)):
        contender = Contender("", {}, loose.model_copy(update={"objective": objective}))
        order = order_of(contender, 3, tmp_path / "cells")
        assert carry_out([order], Workers(1), "", no_steps) == (0 if met is True else 1)
        assert met_of(objective, order.load()) is met


def test_a_cell_of_another_layout_is_not_found(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cell.npz"
    monkeypatch.setattr("mmesim.planner.runs.cells.FACTS", ("values", "invocations", "wall_s", "spill_wishes"))
    cell_of(run).save(path)
    monkeypatch.undo()
    assert Cell.load(path) is None
    cell_of(run).save(path)
    assert Cell.load(path) is not None
