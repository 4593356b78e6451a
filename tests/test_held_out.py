"""Held-out days: what the planner is given holds nothing of the days it is judged on, the rules of the baselines are
those of the documents, and a small version goes through from end to end. In full: `python -m benchmarks.held_out`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.held_out.__main__ import PAGE
from benchmarks.held_out.judge import Judged
from benchmarks.held_out.rivals import known, rivals
from benchmarks.held_out.tables import facts, rows
from benchmarks.held_out.trial import Held, held_out, trend
from benchmarks.held_out.worlds import AZURE_MODELS, DAY_S, WORLDS, Part, World, cut
from benchmarks.page import filled
from mmesim.parallel import Workers
from mmesim.planner.analytic import demand
from mmesim.scenario.load import load_scenario


def _trace(data: Path, world: World, rows: pd.DataFrame) -> Path:
    (data / "traces").mkdir(parents=True, exist_ok=True)
    rows.to_csv(data / "traces" / world.file, index=False)
    return data


def _genai_rows(rng: np.random.Generator, after: list[str]) -> pd.DataFrame:
    """Twelve days, one request in 100 s; models x and y until the cut, others thereafter."""
    time_s = np.arange(0, 12 * DAY_S, 100.0)
    model = np.where(time_s < 10 * DAY_S, rng.choice(["x", "y", "y"], len(time_s)), rng.choice(after, len(time_s)))
    return pd.DataFrame({"timestamp_s": time_s, "model": model, "service_s": 20})


def test_the_planners_part_does_not_depend_on_what_comes_later(tmp_path: Path) -> None:
    world, texts = WORLDS["genai"], []
    for n, after in enumerate((["x"], ["new", "x", "newer", "newer"])):
        data = _trace(tmp_path / f"{n}", world, _genai_rows(np.random.default_rng(1), after))
        first, rest = cut(world, data, tmp_path / f"cut{n}")
        texts.append((tmp_path / f"cut{n}" / "genai-first.csv").read_text())
        assert first.requests == 9 * 864
        assert rest.requests == 2 * 864
        assert "models.0.count=2" in first.overrides
    assert texts[0] == texts[1]
    told = pd.read_csv(tmp_path / "cut1" / "genai-rest.csv")
    assert told.timestamp_s.min() == 0
    assert set(told.model[told.timestamp_s < DAY_S]) == {"base-000", "base-001"}  # y, x: of the first part
    assert set(told.model[told.timestamp_s >= DAY_S]) == {"base-001", "base-002", "base-003"}


def test_models_are_chosen_and_ranked_by_the_first_part(tmp_path: Path) -> None:
    world = WORLDS["azure-1350"]
    functions = [f"f{n:04}" for n in range(AZURE_MODELS + 50)]
    first = pd.DataFrame({"minute": 100, "model": functions, "count": range(1000, 1000 - len(functions), -1)})
    rest = pd.DataFrame({"minute": 1000, "model": functions, "count": range(1, 1 + len(functions))})
    cut(world, _trace(tmp_path, world, pd.concat([first, rest])), tmp_path / "cut")
    told = pd.read_csv(tmp_path / "cut" / "azure-1350-rest.csv")
    assert len(told) == AZURE_MODELS  # the busiest of the rest are the last of the first part: left out
    assert told.loc[told["model"] == "m0-000", "count"].item() == 1
    assert told.minute.unique().tolist() == [1000 - 900]  # an hour of lead before minute 960


def test_trend_of_days() -> None:
    days = (1000, *(round(100 * 1.1**n) for n in range(1, 10)))  # the first is warm-up and left out
    assert trend(Part((), 0, 0.0, days), 5 * DAY_S) == pytest.approx(1.1**5, rel=0.01)
    assert trend(Part((), 0, 0.0, (1, *days[:0:-1])), 5 * DAY_S) == 1.0  # no plan for less than there is


def test_rules_of_the_baselines(tmp_path: Path) -> None:
    """A request of 26.6 s every 10 s for five models of 4 GiB; an A10G takes four of them."""
    path = tmp_path / "requests.csv"
    pd.DataFrame({"timestamp_s": np.arange(0, 7200, 10), "model": [f"base-{n % 5:03}" for n in range(720)],
                  "work": 1.0}).to_csv(path, index=False)
    file, overrides = str(WORLDS["genai"].scenario), [f"workload.trace={path}", "warmup=0s", "models.0.count=7"]
    scenario = load_scenario(file, overrides)
    found = known(scenario)
    assert found.max_rps == pytest.approx(1 / 26.6)
    assert found.for_memory == 2
    assert found.for_work == 5  # ceil(2.66 / 0.6)
    assert np.isfinite(demand(scenario).work_cv)  # two models have no requests
    by_name = {rival.name: rival.settings for rival in rivals(found, 12)}
    assert by_name["fixed 5, rule of thumb"] == ("endpoint.instances=5",)
    assert "target: 1.12782}" in "".join(by_name["InvocationsPerInstance 1.13"])  # 0.5 x 60 / 26.6
    for settings in by_name.values():
        load_scenario(file, [*overrides, *settings])


SMALL = ("plan.instance_types=[ml.g6.xlarge]", "plan.choose={}", "plan.tune={}", "plan.seeds=3",
         "plan.instances={min: 1, max: 8}")


@pytest.fixture(scope="module")
def held(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Held:
    """A day to plan on, three hours of lead, a day to be judged on with one seed, fixed fleets of one type."""
    world = replace(WORLDS["genai"], cut_s=7 * DAY_S, lead_s=3 * 3600.0, has_days=False, margin=1.0)
    return held_out(world, shared_data, tmp_path_factory.mktemp("held"), seeds=1, workers=Workers(1), more=SMALL,
                    reasons=False, first_s=6 * DAY_S, end_s=8 * DAY_S)


def test_a_small_version_from_end_to_end(held: Held) -> None:
    assert [one.name.partition(":")[0] for one in held.judged[:2]] == ["the plan", "best in hindsight"]
    assert held.first.requests + held.rest.requests > 2500
    plan, best = (_attained(one) for one in held.judged[:2])
    assert best  # planned on what it is judged on
    assert not plan or held.hindsight.cost_per_month.mean <= held.judged[0].cost_per_month.mean
    fixed = next(one for one in held.judged if "rule of thumb" in one.name)
    assert fixed.cost_per_month.mean == pytest.approx(held.known.instances * 1.127 * 730, rel=1e-6)


def test_the_page_has_a_line_for_each_configuration(held: Held) -> None:
    lines = rows(held).splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == [one.name for one in held.judged]
    assert f"{held.rest.requests:,} to be judged on" in facts(held)
    text = filled(PAGE.read_text(encoding="utf-8"), {"genai": rows(held), "genai facts": facts(held)})
    assert lines[-1] in text


def _attained(one: Judged) -> bool:
    return all(target.value is not None and target.value.mean <= target.limit for target in one.targets)
