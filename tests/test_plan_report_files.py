"""A plan is read as it was written, and its folder is not anybody else's."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from plan_parts import PLANS, autoscaled, single

from mmesim.errors import InputError
from mmesim.results.folders import CELLS
from mmesim.results.plan_files import MARKER, as_json, check_folder, in_place, load, save


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    plan = PLANS[name]()
    with in_place(tmp_path / "out") as scratch:
        save(plan, scratch)
    again = load(tmp_path / "out")
    assert as_json(again) == as_json(plan)
    assert again.chosen == (plan.chosen and again.option(plan.chosen.name))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [MARKER]


def test_no_interval_is_null_and_infinite_again(tmp_path: Path) -> None:
    save(single(), tmp_path)
    cost = json.loads((tmp_path / MARKER).read_text())["chosen"]["cost_per_month"]
    assert cost["low"] is None and cost["high"] is None
    again = load(tmp_path).chosen
    assert again is not None and again.cost_per_month is not None
    assert (again.cost_per_month.low, again.cost_per_month.high) == (-math.inf, math.inf)


def test_a_folder_with_other_things_in_it_is_not_touched(tmp_path: Path) -> None:
    check_folder(tmp_path / "new")
    check_folder(tmp_path)
    (tmp_path / CELLS).mkdir()
    check_folder(tmp_path)
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not a plan"):
        check_folder(tmp_path)
    with pytest.raises(InputError, match="not a plan"):
        check_folder(tmp_path / "thesis.tex")
    save(autoscaled(), tmp_path)
    check_folder(tmp_path)


def test_what_is_beside_the_plan_stays(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "endpoint.json").write_text("{}")
    with in_place(tmp_path) as scratch:
        save(autoscaled(), scratch)
    assert (tmp_path / "deploy" / "endpoint.json").exists() and (tmp_path / MARKER).exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"name": "x"}'])
def test_what_is_no_plan_is_said(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"has no {MARKER}"):
        load(tmp_path)
    (tmp_path / MARKER).write_text(text)
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path)
