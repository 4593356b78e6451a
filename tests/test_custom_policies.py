"""Policies of one's own, of every kind: they work in each command, and one that misbehaves is stopped and named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from custom_policies import written
from typer.testing import CliRunner, Result

from mmesim.cli.app import app

SETTING = {"Router": "routing", "DictRouter": "routing", "Roomiest": "placement", "Biggest": "eviction.gpu",
           "FirstFew": "prewarm", "Few": "admission", "Busy": "autoscaling",
           "Place": "placement", "Evict": "eviction.gpu", "Warm": "prewarm", "Admit": "admission",
           "Scale": "autoscaling"}
"""Class, or how its name begins, and the setting of the endpoint that it is for."""
SOUND = ("Router", "DictRouter", "Roomiest", "Biggest", "FirstFew", "Few", "Busy")
KEY_ERROR = "raised KeyError: 'oh'"
CHANGED = "raised AttributeError"
WRONG = {
    "RouterRaises": KEY_ERROR, "RouterFloat": r"score returned [\d.]+ \(float\)", "RouterChanges": CHANGED,
    "RouterText": r"score returned 'least' \(str\)",
    "PlaceRaises": KEY_ERROR, "PlaceElsewhere": "named instance 7, which was not offered", "PlaceChanges": CHANGED,
    "PlaceView": "place returned <.*; it may return an int or None", "PlaceOffers": CHANGED,
    "PlaceTrue": r"place returned (True|False) \(bool\)",
    "EvictRaises": KEY_ERROR, "EvictBusy": r"named model \d+, which is not a candidate",
    "EvictAbsent": r"named model \d+, which is not a candidate", "EvictNumber": r"victims yielded \d+ \(int\)",
    "EvictText": r"victims yielded 'the oldest' \(str\)", "EvictNone": "victims returned None",
    "EvictChanges": "raised ValueError: .*read-only", "EvictWhenText": "when_short returned 'soon'",
    "EvictExpiresText": "expires_ns returned 'never'",
    "WarmRaises": KEY_ERROR, "WarmMissing": "named model 1200, which does not exist", "WarmNumber": "plan yielded 3",
    "WarmNone": "plan returned None", "WarmText": "named model 'resnet-001'",
    "WarmChanges": "raised ValueError: .*read-only",
    "AdmitRaises": KEY_ERROR, "AdmitText": "admit returned 'no'", "AdmitNone": "admit returned None",
    "ScaleRaises": KEY_ERROR, "ScaleText": "desired returned 'more'", "ScaleFloat": r"desired returned [\d.]+ \(fl",
    "ScaleChanges": CHANGED, "ScaleBounds": "bounds returned 'one'"}
"""Class in the file of those that misbehave -> what is said of it."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("own"))


def setting(name: str, file: str) -> str:
    """``endpoint.routing=sound.py:Router``."""
    path = next(path for start, path in SETTING.items() if name.startswith(start))
    return f"endpoint.{path}=" + ("[{{use: '{}:{}'}}]" if path == "autoscaling" else "{}:{}").format(file, name)


def mmesim(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def ran(world: Path, *settings: str) -> Result:
    """`mmesim run` with these settings."""
    given = [part for one in settings for part in ("--set", one)]
    return mmesim("run", world, *given, "--out", world.parent / "reports", "--no-report", "--json", "-q")


@pytest.mark.parametrize("name", SOUND)
def test_one_of_every_kind_runs(world: Path, name: str) -> None:
    """And makes a difference to the run without it."""
    plain, own = ran(world), ran(world, setting(name, "sound.py"))
    assert own.exit_code == 0, own.output
    ours, theirs = json.loads(own.stdout), json.loads(plain.stdout)
    assert ours["invariants"]["conservation"] == "holds"
    parts = ("residency", "cache", "requests", "instances")
    assert any(ours[part] != theirs[part] for part in parts)


def test_compiled_and_in_python_they_decide_the_same(world: Path) -> None:
    fast, slow = (json.loads(ran(world, setting(name, "sound.py")).stdout) for name in ("Router", "DictRouter"))
    assert fast == slow


@pytest.mark.parametrize("name", SOUND)
def test_each_conforms(world: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world.parent)
    done = mmesim("check-policy", f"sound.py:{name}", "--json")
    outcomes = {row["check"]: row["outcome"] for row in json.loads(done.stdout)}
    assert done.exit_code == 0 and "fail" not in outcomes.values(), done.output


def test_all_together_are_compared(world: Path) -> None:
    settings = "; ".join(setting(name, "sound.py") for name in SOUND if name != "DictRouter")
    done = mmesim("compare", world, "--variant", f"mine: {settings}", "--seeds", "1", "--processes", "1", "--json",
                  "--out", world.parent / "compared", "--no-report", "-q")
    assert done.exit_code == 0, done.output
    assert [variant["name"] for variant in json.loads(done.stdout)["variants"]] == ["as written", "mine"]


@pytest.mark.parametrize("name", WRONG)
def test_one_that_misbehaves_is_stopped_and_named(world: Path, name: str) -> None:
    done = ran(world, setting(name, "wrong.py"), f"name={name}")
    assert done.exit_code == 2, done.output
    told = " ".join(done.stderr.split())
    assert name in told and re.search(WRONG[name], told) and "Traceback" not in told, told
    assert done.stdout == "" and not (world.parent / "reports" / name).exists()


def test_one_inside_of_another_is_named(world: Path) -> None:
    done = ran(world, "endpoint.eviction.gpu={use: min_residency, min: 1s, around: 'wrong:EvictRaises'}")
    assert done.exit_code == 2 and "EvictRaises.victims raised KeyError" in done.stderr, done.output


def test_in_a_comparison_its_variant_is_named_too(world: Path) -> None:
    one = f"wrong: {setting('ScaleText', 'wrong.py')}"
    done = mmesim("compare", world, "--variant", one, "--seeds", "1", "--processes", "1", "--out",
                  world.parent / "wrong", "-q")
    assert done.exit_code == 2 and "ScaleText.desired returned 'more'" in done.stderr, done.output
    assert "(variant 'wrong', seed 3)" in done.stderr and not (world.parent / "wrong" / "comparison.json").exists()


@pytest.mark.parametrize("name", [name for name in WRONG if name != "EvictExpiresText"])  # a hook it does not ask
def test_the_kit_finds_it_beforehand(world: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world.parent)
    done = mmesim("check-policy", f"wrong.py:{name}", "--json")
    assert done.exit_code == 1 and "fail" in done.stdout, done.output
