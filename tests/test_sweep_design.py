"""Designs of a sweep: grids, ranges, random designs, files; and the tables' columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmesim.errors import InputError
from mmesim.planner.runs.axes import axes
from mmesim.planner.sweep.design import design, paths_of
from mmesim.planner.sweep.points import Point
from mmesim.planner.sweep.tables import settings_table
from mmesim.yamldoc import parse_value


@pytest.mark.parametrize(("written", "values"), [
    ("1..4", ["1", "2", "3", "4"]), ("-1..1", ["-1", "0", "1"]), ("10..90/20", ["10", "30", "50", "70", "90"]),
    ("0.1..0.35/0.1", ["0.1", "0.2", "0.3"]), ("30s..90s/30s", ["30s", "60s", "90s"]),
    ("30..90/30s", ["30s", "60s", "90s"]),
    ("100..300/100", ["100", "200", "300"]), ("1,4..6,9", ["1", "4", "5", "6", "9"]),
    ("{use: lru_k, k: 2},lfu", ["{use: lru_k, k: 2}", "lfu"]), ("../a.py:Mine", ["../a.py:Mine"])])
def test_values_of_an_axis(written: str, values: list[str]) -> None:
    assert list(axes([f"some.path={written}"])[0].values) == values


@pytest.mark.parametrize(("written", "told"), [
    ("a.b", "is not a setting and its values"), ("=1", "is not a setting"), ("a.b=1,,2", "is not a setting"),
    ("a.b=1,1", "names 1 twice"), ("a.b=1..3,2", "names 2 twice"), ("a.b=3..1", "is no range"),
    ("a.b=0.5..2", "has no step"), ("a.b=1..2/0", "walked through"), ("a.b=0..1/0.000001", "walked through"),
    ("a.b=1s..2m/1s", "one unit"), ("seed=1..3", "no setting to compare")])
def test_what_is_no_axis_is_told(written: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        axes([written])
    assert caught.value.problems[0].file == f"--vary {written}"


def test_a_grid_has_every_combination_in_order() -> None:
    points = design(vary=["a.b=1..2", "c=x,y"])
    assert points == [{"a.b": "1", "c": "x"}, {"a.b": "1", "c": "y"}, {"a.b": "2", "c": "x"}, {"a.b": "2", "c": "y"}]
    assert paths_of(points) == ["a.b", "c"]


@pytest.mark.parametrize("kind", ["latin", "sobol"])
def test_a_random_design_fills_every_range_evenly(kind: str) -> None:
    points = design(ranges=["a=10..90", "b=1..100,log", "c=1..8,int", "d=1..4,MiB"], choices=["e=x,y"], random=64,
                    kind=kind, seed=5)
    a, b, c = (np.array([float(point[name]) for point in points]) for name in "abc")
    assert (np.histogram(a, 16, (10, 90))[0] == 4).all(), "each sixteenth of the range four times"
    assert (np.histogram(np.log(b), 16, (0, np.log(100)))[0] == 4).all()
    assert np.unique(c, return_counts=True)[1].tolist() == [8] * 8
    assert [sum(point["e"] == value for point in points) for value in "xy"] == [32, 32]
    assert all(point["d"].endswith("MiB") for point in points)
    assert len({point["a"] for point in points}) == 64
    assert abs(np.corrcoef(a, np.log(b))[0, 1]) < 0.35


def test_a_whole_number_drawn_by_factors_keeps_its_ends() -> None:
    drawn = [int(point["n"]) for point in design(ranges=["n=1..64,log,int"], random=512)]
    assert min(drawn) == 1 and max(drawn) == 64
    assert 220 < sum(value < 8 for value in drawn) < 330, "half of the factors"


def test_designs_are_drawn_from_the_seed() -> None:
    def drawn(**more: object) -> list[dict[str, str]]:
        return design(ranges=["a=0..1"], random=8, **more)  # type: ignore[arg-type]

    assert drawn(seed=1) == drawn(seed=1) != drawn(seed=2)
    assert drawn(kind="sobol", seed=1) != drawn(seed=1)
    longer = design(ranges=["a=0..1"], random=20, kind="sobol", seed=1)
    assert longer[:8] == drawn(kind="sobol", seed=1), "more points of Sobol's sequence keep the first"


def test_numbers_are_written_as_yaml_reads_them() -> None:
    for point in design(ranges=["a=1e-9..1e-6".replace("1e-9", "0.000000001").replace("1e-6", "0.000001")], random=20):
        assert isinstance(parse_value(point["a"], ""), float), point


def test_points_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "design.csv").write_text('a.b,c\n1,"{use: lru_k, k: 2}"\n,lfu\n\n3,\n')
    listed = [{"a.b": "1", "c": "{use: lru_k, k: 2}"}, {"c": "lfu"}, {"a.b": "3"}]
    assert design(file=tmp_path / "design.csv") == listed
    crossed = design(file=tmp_path / "design.csv", vary=["d=1,2"])
    assert len(crossed) == 6 and crossed[0] == {**listed[0], "d": "1"}


@pytest.mark.parametrize(("text", "told"), [
    ("a,b\n", "has no points"), ("a,,c\n1,2,3\n", "has no points"), ("a,b\n1\n2,3\n4\n", "has 1 fields"),
    ("a,a\n1,2\n", "twice"), ("seed\n1\n", "no setting to compare")])
def test_a_file_that_is_no_design(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "design.csv").write_text(text)
    with pytest.raises(InputError, match=told):
        design(file=tmp_path / "design.csv")


@pytest.mark.parametrize(("asked", "told"), [
    ({}, "nothing to sweep"), ({"random": 3}, "nothing to sweep"), ({"vary": ["a=1,2"], "random": 3}, "needs --range"),
    ({"ranges": ["a=1..2"]}, "need --random"), ({"ranges": ["a=1..2"], "vary": ["a=1"], "random": 2}, "given twice"),
    ({"ranges": ["a=0..2,log"], "random": 2}, "no range to draw from"),
    ({"ranges": ["a=0.5..2,int"], "random": 2}, "whole numbers"),
    ({"ranges": ["a=1..2,s,ms"], "random": 2}, "no range to draw from"),
    ({"ranges": ["a=1..2"], "random": 2, "kind": "halton"}, "no design 'halton'"),
    ({"vary": ["a=1..400", "b=1..400"]}, "160,000 points")])
def test_what_cannot_be_designed_is_told(asked: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        design(**asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(("written", "values", "unit"), [
    (["1", "3"], [1, 3], ""), (["1", "2.5"], [1.0, 2.5], ""), (["true", "false"], [True, False], ""),
    (["30s", "2m"], [30.0, 120.0], "s"), (["1MiB", "2KiB"], [1048576.0, 2048.0], "B"),
    (["5%", "9%"], [0.05, 0.09], "ratio"),
    (["lru", "{use: lru_k, k: 2}"], ["lru", "{use: lru_k, k: 2}"], ""), (["1", "x"], ["1", "x"], ""),
    (["1", None], [1, None], "")])
def test_columns_have_the_type_of_their_values(written: list[str | None], values: list[object], unit: str) -> None:
    points = [Point(n, {} if value is None else {"a": value}, None) for n, value in enumerate(written)]
    table, found = settings_table(points, ["a"])
    assert [None if missing else value for value, missing in zip(table["a"], table["a"].isna(), strict=True)] == values
    assert found[0].unit == unit and found[0].values == len(written)
