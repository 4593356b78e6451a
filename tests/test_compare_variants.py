"""What `--vary` and `--variant` stand for, and what is wrong with all of it at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from compare_parts import tiny

from mmesim.errors import InputError
from mmesim.planner.compare.naming import names_of
from mmesim.planner.compare.variants import contenders
from mmesim.planner.runs.axes import split

GPU = "endpoint.eviction.gpu"


def names(found: list) -> list[str]:
    return [one.name for one in found]


@pytest.mark.parametrize(("text", "parts"), [
    ("lru,lfu", ["lru", "lfu"]),
    ("{use: queue_limit, limit: 3}, always", ["{use: queue_limit, limit: 3}", " always"]),
    ("[1, 2],[3, [4, 5]]", ["[1, 2]", "[3, [4, 5]]"]),
    ('"a,b",c', ['"a,b"', "c"]),
    ("it's,2", ["it's", "2"])])
def test_values_are_split_at_top_level_commas_only(text: str, parts: list[str]) -> None:
    assert split(text, ",") == parts


def test_a_grid_with_the_scenario_as_it_stands_in_it(tmp_path: Path) -> None:
    found = contenders(tiny(tmp_path), vary=[f"{GPU}=lfu,lru", "endpoint.instances=2,1"])
    assert names(found) == ["lru, 1 instance", "lfu, 2 instances", "lfu, 1 instance", "lru, 2 instances"]
    assert found[1].settings == {GPU: "lfu", "endpoint.instances": "2"}
    assert found[1].scenario.endpoint.instances.max == 2


def test_the_scenario_as_it_stands_is_added_where_no_variant_says_the_same(tmp_path: Path) -> None:
    found = contenders(tiny(tmp_path), vary=[f"{GPU}=lfu,mine.py:Mine"])
    assert names(found) == ["lru", "lfu", "Mine"] and found[0].settings == {}
    assert names(contenders(tiny(tmp_path), vary=[f"{GPU}=lfu,mine.py:Mine"], baseline="Mine")) == ["Mine", "lfu"]


def test_variants_by_hand(tmp_path: Path) -> None:
    found = contenders(tiny(tmp_path), variant=["two: endpoint.instances=2; endpoint.eviction.gpu={use: lfu}"],
                       overrides=["duration=2m"])
    assert names(found) == ["as written", "two"] and found[1].scenario.endpoint.eviction.gpu.use == "lfu"
    assert [one.scenario.duration for one in found] == [120, 120]


@pytest.mark.parametrize(("settings", "wanted"), [
    ([{GPU: "lru"}, {GPU: {"use": "gdsf", "cost": "one"}}], ["lru", "gdsf cost=one"]),
    ([{GPU: "lru", "endpoint.eviction.disk": "lfu"}, {GPU: "lfu", "endpoint.eviction.disk": "lru"}],
     ["gpu=lru, disk=lfu", "gpu=lfu, disk=lru"]),
    ([{GPU: "a.py:Same"}, {GPU: "b.py:Same"}], [f"{GPU}=Same", f"{GPU}=Same"]),
    ([{"models.0.count": 5}, {"models.0.count": 6}], ["count=5", "count=6"])])
def test_names_are_short_and_tell_what_differs(settings: list, wanted: list[str]) -> None:
    assert names_of(settings) == wanted


def test_all_problems_of_all_variants_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        contenders(tiny(tmp_path), vary=[f"{GPU}=lru,ldu,lvu"], variant=["big: endpoint.instance_type=ml.g5.xlarge"])
    told = str(error.value)
    assert f"variant {GPU}=ldu" in told and f"variant {GPU}=lvu" in told and "(variant 'big')" in told


@pytest.mark.parametrize(("options", "told"), [
    ({}, "nothing to compare"),
    ({"vary": [GPU]}, "is not a setting and its values"),
    ({"vary": [f"{GPU}=lru,lru"]}, "names lru twice"),
    ({"vary": [f"{GPU}=lru", f"{GPU}=lfu"]}, "is varied twice"),
    ({"vary": ["seed=1,2"]}, "--seeds says how many"),
    ({"variant": ["endpoint.instances=2"]}, "is not a name and its settings"),
    ({"variant": ["a: endpoint.instances=2", "a: endpoint.instances=3"]}, "two variants are called 'a'"),
    ({"vary": [f"{GPU}=lru,lfu"], "baseline": "lfo"}, "did you mean 'lfu'"),
    ({"vary": ["duration=" + ",".join(f"{n}s" for n in range(60, 300))]}, "at most 200")])
def test_what_is_not_understood_is_told(tmp_path: Path, options: dict, told: str) -> None:
    with pytest.raises(InputError, match=told):
        contenders(tiny(tmp_path), **options)


def test_an_edited_policy_inside_of_another_is_another_variant(tmp_path: Path) -> None:
    around = ["mine: endpoint.eviction.gpu={use: min_residency, min: 1s, around: 'mine:Mine'}"]
    before = contenders(tiny(tmp_path), variant=around, baseline="mine")[0].digest
    assert contenders(tiny(tmp_path), variant=around, baseline="mine")[0].digest == before
    source = tmp_path / "mine.py"
    source.write_text(source.read_text() + "# edited\n")
    assert contenders(str(tmp_path / "tiny.yaml"), variant=around, baseline="mine")[0].digest != before
