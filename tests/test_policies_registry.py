"""Policies by name: built-in ones, a user's own, and everything that can be written wrongly."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from mmesim.core.policy import Policies
from mmesim.policies.autoscaling.scheduled import Action, Scheduled
from mmesim.policies.autoscaling.step import Step, StepScaling
from mmesim.policies.autoscaling.target_tracking import TargetTracking
from mmesim.policies.eviction.lru import Lru
from mmesim.policies.registry import KINDS, PolicyError, describe, find, kind_of, known, parameters, resolve

HERE = Path(__file__).parent

OWN = '''
from __future__ import annotations
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal
from mmesim.core.policy import Candidate, Candidates, EvictionPolicy, RoutingPolicy

@dataclass
class Mine(EvictionPolicy):
    """Mine."""
    keep_bytes: int = 0
    """Kept."""
    after_ns: int = 0
    rate_bps: float = 0.0
    share_fraction: float = 0.5
    order: Literal["up", "down"] = "up"
    weights: dict[str, float] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    limit: int | None = None
    _seen: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.limit == 13:
            raise ValueError("limit is 13; unlucky")

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        return candidates.ordered(candidates.uses)

class Bare(EvictionPolicy):
    def victims(self, candidates, need_bytes, now_ns):
        return candidates

@dataclass
class Unfinished(EvictionPolicy):
    pass

@dataclass
class Router(RoutingPolicy):
    def score(self, copy, now_ns):
        return 0

@dataclass
class Old(RoutingPolicy):
    def score(self, outstanding, instance_outstanding, last_use_ns, uses, draw, now_ns):
        return 0

class Other:
    pass
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "deep.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("x = 1\ny = undefined_name\n")
    (tmp_path / "syntax.py").write_text("x = (\n")
    (tmp_path / "needy.py").write_text("import not_to_be_found_anywhere\n")
    return tmp_path


def error(kind: str, use: str, base_dir: Path = HERE, **params: object) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        resolve(kind, use, params, base_dir)
    return caught.value


def test_every_built_in_policy_is_found_and_called_what_it_is_called() -> None:
    for kind in KINDS:
        assert known(kind) == tuple(one.name for one in describe(kind))
        for name in known(kind):
            cls = find(kind, name, HERE)
            assert (cls.name, kind_of(cls)) == (name, kind)
        assert all(one.summary.endswith(".") or one.summary.endswith(":") for one in describe(kind))
        assert all(parameter.doc for one in describe(kind) for parameter in one.parameters)


def test_defaults_make_an_endpoint() -> None:
    default = {"routing": "least_outstanding", "placement": "least_loaded", "eviction": "lru", "prewarm": "none",
               "admission": "always"}
    made = {kind: resolve(kind, use, {}, HERE) for kind, use in default.items()}
    Policies(made["routing"], made["placement"], made["eviction"], made["eviction"], made["prewarm"],  # type: ignore[arg-type]
             made["admission"])  # type: ignore[arg-type]


def test_objects_are_fresh() -> None:
    assert resolve("eviction", "lru", {}, HERE) is not resolve("eviction", "lru", {}, HERE)


def test_the_reference_scenario_s_policies() -> None:
    tracking = {"metric": "GPUUtilization", "statistic": "Average", "target": 60, "scale_out_cooldown": "300s",
                "scale_in_cooldown": "300s", "out_datapoints": 3, "in_datapoints": 15, "in_fraction": 0.9,
                "disable_scale_in": False}
    assert resolve("autoscaling", "target_tracking", tracking, HERE) == TargetTracking("GPUUtilization", 60, "Average")
    step = {"metric": "GPUUtilization", "statistic": "Average", "threshold": 70, "datapoints": 3, "comparison": "above",
            "cooldown": "300s", "adjustment": "change_in_capacity", "min_adjustment": 1,
            "steps": [{"from": 0, "to": 10, "add": 1}, {"from": 10, "add": 2}]}
    assert resolve("autoscaling", "step", step, HERE) == \
        StepScaling("GPUUtilization", 70.0, (Step(1, 0.0, 10.0), Step(2, 10.0)))
    actions = [{"at": "1h", "min": 4, "max": 8}, {"every": "24h", "at": "6h", "min": 2}]
    assert resolve("autoscaling", "scheduled", {"actions": actions}, HERE) == \
        Scheduled((Action(3600.0, None, 4, 8), Action(21600.0, 86400.0, 2)))


def test_quantities_have_units(folder: Path) -> None:
    given = {"keep_bytes": "100MiB", "after": "1h30m", "rate_bps": "1Gbps", "share_fraction": "25%", "order": "down",
             "weights": {"a": 1, "b": 0.5}, "names": ["x"], "limit": 3}
    made = resolve("eviction", "mine:Mine", given, folder)
    assert vars(made) == {"keep_bytes": 100 << 20, "after_ns": 5400 * 10**9, "rate_bps": 125e6, "share_fraction": 0.25,
                          "order": "down", "weights": {"a": 1.0, "b": 0.5}, "names": ["x"], "limit": 3}
    assert resolve("eviction", "mine:Mine", {"after_ns": "2s", "limit": None}, folder).after_ns == 2 * 10**9  # type: ignore[attr-defined]


def test_parameters_tell_what_may_be_written(folder: Path) -> None:
    told = [(p.name, p.type, p.default_text) for p in parameters(find("eviction", "mine:Mine", folder))]
    assert told == [("keep_bytes", "size", "0"), ("after", "duration", "0"), ("rate_bps", "data rate", "0"),
                    ("share_fraction", "fraction", "0.5"), ("order", "up or down", "up"),
                    ("weights", "mapping of names to number", "{}"), ("names", "list of text", "[]"),
                    ("limit", "whole number or null", "null")]
    assert parameters(find("eviction", "mine:Mine", folder))[0].doc == "Kept."


@pytest.mark.parametrize(("params", "param", "message", "hint"), [
    ({"keep": "1MiB"}, "keep", "Mine has no parameter 'keep'", "did you mean 'keep_bytes'? parameters and defaults"),
    ({"keep_bytes": 100}, "keep_bytes", "100 has no unit", "100B"),
    ({"keep_bytes": "100 apples"}, "keep_bytes", "'100 apples' is not a size", "250MB or 24GiB"),
    ({"keep_bytes": True}, "keep_bytes", "true is not possible", "size"),
    ({"after": "soon"}, "after", "'soon' is not a duration", "90s"),
    ({"after": "1s", "after_ns": "1s"}, "after_ns", "after is given twice", ""),
    ({"order": "sideways"}, "order", "'sideways' is not possible", "known: down, up"),
    ({"weights": {"a": "much"}}, "weights.a", "'much' is not possible", "number"),
    ({"weights": [1]}, "weights", "[1] is not a mapping", ""),
    ({"names": "x"}, "names", "'x' is not a list", "[text, …]"),
    ({"names": ["x", 3]}, "names.1", "3 is not possible", "text"),
    ({"limit": 2.5}, "limit", "2.5 is not possible", "whole number"),
    ({"limit": False}, "limit", "false is not possible", "whole number"),
    ({"share_fraction": float("inf")}, "share_fraction", "inf is not possible", "finite"),
    ({"limit": 13}, "limit", "limit is 13; unlucky", "parameters and defaults"),
    ({"_seen": 3}, "_seen", "Mine has no parameter '_seen'", "parameters and defaults"),
])
def test_wrong_parameters(folder: Path, params: dict[str, object], param: str, message: str, hint: str) -> None:
    found = error("eviction", "mine:Mine", folder, **params)
    assert found.param == param
    assert message in found.message
    assert hint in found.hint


def test_nested_problems_name_their_place() -> None:
    found = error("autoscaling", "step", metric="M", threshold=1, steps=[{"add": 1}, {"from": 0, "too": 3}, 7])
    assert [(one.param, one.message) for one in (found, *found.more)] == [
        ("steps.1.too", "Step has no parameter 'too'"), ("steps.1.add", "add is missing"),
        ("steps.2", "7 is not {add, from, to}")]
    assert error("autoscaling", "scheduled", actions=[{"at": "1h", "min": 1}, {"at": "1h"}]).param == "actions.1.min"


def test_all_problems_at_once() -> None:
    found = error("autoscaling", "target_tracking", metrik="X", scale_in_cooldown=3)
    assert [one.param for one in (found, *found.more)] == ["metrik", "scale_in_cooldown", "metric", "target"]
    assert str(found).count("\n") >= 7
    assert pickle.loads(pickle.dumps(found)).message == found.message


def test_unknown_names() -> None:
    found = error("eviction", "lrru")
    assert found.message == "there is no eviction policy 'lrru'"
    assert "did you mean 'lru'" in found.hint
    assert "known: belady, " in found.hint
    assert found.param == "use"
    assert "least_loaded is for placement" in error("eviction", "least_loaded").hint


@pytest.mark.parametrize(("use", "message", "hint"), [
    ("absent:Mine", "there is no file", "absent.py"),
    ("absent.py:Mine", "there is no file", "absent.py"),
    ("mine:Min", "mine has no class 'Min'", "did you mean 'Mine'"),
    ("mine:Bare", "Bare is not a dataclass", "@dataclass"),
    ("mine:Unfinished", "Unfinished does not define victims", ""),
    ("mine:Router", "Router does not derive from EvictionPolicy (it is a policy for routing)", "EvictionPolicy"),
    ("mine:Other", "Other does not derive from EvictionPolicy", "EvictionPolicy"),
    ("broken:Mine", "line 2: NameError", "mend"),
    ("syntax:Mine", "line 1: SyntaxError", "mend"),
    ("needy:Mine", "No module named 'not_to_be_found_anywhere'", "mend"),
    (":Mine", "there is no file", ""),
])
def test_own_classes_that_cannot_be_used(folder: Path, use: str, message: str, hint: str) -> None:
    found = error("eviction", use, folder)
    assert message in found.message
    assert hint in found.hint


def test_own_classes_from_files_and_installed_modules(folder: Path) -> None:
    before = list(sys.path)
    mine = find("eviction", "mine:Mine", folder)
    assert find("eviction", "mine.py:Mine", folder) is mine
    assert find("eviction", "sub.deep:Mine", folder) is not mine
    assert find("eviction", "sub/deep.py:Mine", folder) is find("eviction", "sub.deep:Mine", folder)
    assert find("eviction", "mmesim.policies.eviction.lru:Lru", folder) is Lru
    assert "mine" not in sys.modules
    assert sys.path == before


def test_an_edited_file_is_loaded_anew_and_an_old_object_lives_on(folder: Path) -> None:
    old = resolve("eviction", "mine:Mine", {}, folder)
    (folder / "mine.py").write_text(OWN.replace("keep_bytes: int = 0", "keep_bytes: int = 7"))
    assert resolve("eviction", "mine:Mine", {}, folder).keep_bytes == 7  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(old)) == old


def test_a_file_may_import_its_neighbour(folder: Path) -> None:
    (folder / "neighbour_of_mine.py").write_text("KEEP = 5\n")
    text = OWN.replace("import annotations", "import annotations\nfrom neighbour_of_mine import KEEP")
    (folder / "mine.py").write_text(text.replace("keep_bytes: int = 0", "keep_bytes: int = KEEP"))
    assert resolve("eviction", "mine:Mine", {}, folder).keep_bytes == 5  # type: ignore[attr-defined]


def test_the_registry_imports_neither_policies_nor_numba() -> None:
    code = ("import sys, mmesim.policies.registry\n"
            "print([m for m in sys.modules if m.startswith(('numba', 'pandas', 'mmesim.policies.')) "
            "and m.count('.') != 2])")
    loaded = subprocess.run([sys.executable, "-c", code + "\nprint([m for m in sys.modules if m.count('.') > 2 and "
                             "m.startswith('mmesim.policies')])"], capture_output=True, text=True, check=True,
                            cwd=HERE.parent).stdout.split("\n")
    assert loaded[:2] == ["[]", "[]"]


def test_a_method_that_cannot_be_called_as_it_is(folder: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        find("routing", "mine:Old", folder)
    taken = "self, outstanding, instance_outstanding, last_use_ns, uses, draw, now_ns"
    assert caught.value.message == f"Old.score takes ({taken}); it is called with (self, copy, now_ns)"
