"""The journal: what is written is what was seen, comes back as it was, and has the same bytes each time."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import small_build

from mmesim.core import actions as ac
from mmesim.core import events as ev
from mmesim.core.decisions import Decision, EvictionDecision, ScalingDecision
from mmesim.core.types import Failure, ModelSpec
from mmesim.errors import InputError
from mmesim.journal import JournalWriter, Step, open_journal
from mmesim.journal.text import KNOWN, step_to_json
from mmesim.scenario.build import Build

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
BY_TYPE = {int: st.integers(-1, (1 << 63) - 1), str: TEXT, bool: st.booleans(), Failure: st.sampled_from(Failure)}
BY_TYPE[ModelSpec] = st.builds(ModelSpec, TEXT, *[BY_TYPE[int]] * 4, TEXT, BY_TYPE[int], st.booleans(),
                               *[st.floats(0, 1e9)] * 3)
VALUES = st.dictionaries(TEXT, st.floats(allow_nan=False, allow_infinity=False), max_size=4)


def values_of(kind: type) -> st.SearchStrategy:
    """Any value of one class of events or actions."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: BY_TYPE.get(hints[field.name], VALUES) for field in fields(kind)})


EVENTS = st.one_of(*map(values_of, get_args(ev.Event)))
ACTIONS = st.one_of(*map(values_of, get_args(ac.Action)))
NUMBER = st.integers(-1, (1 << 63) - 1)
MODELS = st.lists(NUMBER, max_size=4).map(tuple)
KEYS = st.one_of(st.floats(allow_nan=False), NUMBER)
DECISIONS = st.one_of(
    st.builds(EvictionDecision, NUMBER, st.booleans(), NUMBER, NUMBER, NUMBER, MODELS, MODELS,
              st.dictionaries(TEXT, st.lists(KEYS, max_size=5), max_size=4)),
    st.builds(ScalingDecision, st.dictionaries(TEXT, st.none() | NUMBER, max_size=3), NUMBER, NUMBER))
STEPS = st.lists(st.builds(Step, st.integers(0, 1 << 62), EVENTS, st.lists(ACTIONS, max_size=3).map(tuple),
                           st.lists(DECISIONS, max_size=2).map(tuple)), max_size=6)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return small_build(tmp_path_factory.mktemp("built"))


def written(path: Path, built: Build, steps: list[Step]) -> Path:
    """A journal of these steps."""
    writer = JournalWriter(path, built)
    for step in steps:
        writer.step(step.now_ns, step.event, step.actions, step.decisions)
    writer.close()
    return path


def test_one_line_of_each_kind() -> None:
    assert step_to_json(5, ev.ModelMissed(3), (ac.StartDownload(0, 3), ac.Reject(1, Failure.THROTTLED))) == (
        '{"t":5,"event":{"ModelMissed":{"model":3,"instance":-1}},'
        '"actions":[{"StartDownload":{"instance":0,"model":3}},{"Reject":{"model":1,"failure":3}}]}')
    assert step_to_json(6, ev.Tick(), (ac.Stall(1, True),)) == (
        '{"t":6,"event":{"Tick":{}},"actions":[{"Stall":{"instance":1,"stalled":true}}]}')


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_what_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, built: Build,
                                       steps: list[Step]) -> None:
    path = written(tmp_path_factory.mktemp("journal") / "journal.jsonl.zst", built, steps)
    with open_journal(path) as journal:
        assert (journal.header["journal"], journal.header["seed"], len(journal.header["models"])) == (3, 3, 26)
        assert journal.header["scenario"]["workload"]["surges"][0]["for"] == "30s"
        assert list(journal) == steps


def test_a_line_with_decisions() -> None:
    why = EvictionDecision(0, False, 3, 5, 2, (1,), (7,), {"rate_rps": [0.5, float("inf")], "model": [1, 2]})
    line = step_to_json(5, ev.Tick(), (), (why, ScalingDecision({"0 step": None}, 1, 2)))
    assert json.loads(line)["decisions"] == [
        {"EvictionDecision": {"instance": 0, "on_disk": False, "wanted_by": 3, "need_bytes": 5, "offered": 2,
                              "victims": [1], "held_back": [7],
                              "columns": {"rate_rps": [0.5, float("inf")], "model": [1, 2]}}},
        {"ScalingDecision": {"wishes": {"0 step": None}, "desired": 1, "wanted": 2}}]
    assert "Infinity" not in line, "JSON has no such number"


def test_what_a_policy_tells_may_be_no_number(tmp_path: Path, built: Build) -> None:
    told = EvictionDecision(0, True, 3, 5, 1, (), (), {"age": [float("nan")]})
    path = written(tmp_path / "journal.jsonl.zst", built, [Step(1, ev.Tick(), (), (told,))])
    with open_journal(path) as journal:
        (step,) = journal
    (decision,) = step.decisions
    assert isinstance(decision, EvictionDecision) and math.isnan(decision.columns["age"][0])


def test_decisions_are_read_where_wanted(tmp_path: Path, built: Build) -> None:
    told = ScalingDecision({"0 step": 3}, 1, 2), EvictionDecision(0, True, 3, 5, 0, (), (), {',"decisions":': [1]})
    event = ev.DownloadFailed(0, 1, ',"decisions":[')
    steps = [Step(1, event, (), ()), Step(2, event, (), told[:1]), Step(3, event, (), told[1:])]
    path = written(tmp_path / "journal.jsonl.zst", built, steps)
    with open_journal(path) as journal:
        assert list(journal.steps(lambda text: "ScalingDecision" in text)) == [*steps[:2], Step(3, event, ())]
    with open_journal(path) as journal:
        assert list(journal.steps()) == steps


def test_every_event_action_and_decision_is_known() -> None:
    kinds = [*get_args(ev.Event), *get_args(ac.Action), *get_args(Decision)]
    assert set(KNOWN.values()) == set(kinds)
    assert len(KNOWN) == len(kinds), "two classes share a name"


def test_blocks_do_not_change_what_is_read(tmp_path: Path, built: Build) -> None:
    steps = [Step(t, ev.LoadFinished(t % 3, t % 5, 1 << 30, 0), ()) for t in range(10_000)]
    path = written(tmp_path / "journal.jsonl.zst", built, steps)
    with open_journal(path) as journal:
        assert list(journal) == steps
    plain = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    assert plain.count(b"\n") == 10_001
    (tmp_path / "journal.jsonl").write_bytes(plain)
    with open_journal(tmp_path / "journal.jsonl") as journal:
        assert list(journal) == steps


def test_same_steps_same_bytes(tmp_path: Path, built: Build) -> None:
    steps = [Step(t, ev.MetricsPublished(t, {"b": 0.1, "a": 2.0}), ()) for t in range(5000)]
    turned = [Step(t, ev.MetricsPublished(t, {"a": 2.0, "b": 0.1}), ()) for t in range(5000)]
    one, other = written(tmp_path / "1.zst", built, steps), written(tmp_path / "2.zst", built, turned)
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(("content", "says"), [
    (b"", "not a step"), (b"[]\n", "not an object"), (b'{"no": 1}\n', "not a journal"),
    (b'{"journal": 99}\n', "layout 99"), (b'{"journal": 1}\n', "layout 1; this mmesim reads layout 3"),
    (b'{"journal": 2}\n{"t": 1, "event": {"NoSuch": {}}, "actions": []}\n', "NoSuch"),
    (b'{"journal": 2}\n{"t": 1, "event": {"Tick": {}}, "ac\n', "j.jsonl:2"), (b"\xff\xfe\n", "is it a journal")])
def test_what_is_no_journal_is_refused_with_the_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says), open_journal(path) as journal:
        list(journal)


def test_a_cut_or_foreign_file_is_refused(tmp_path: Path, built: Build) -> None:
    path = written(tmp_path / "journal.jsonl.zst", built, [Step(1, ev.Tick(), ())])
    path.write_bytes(json.dumps({"journal": 2}).encode())
    with pytest.raises(InputError, match="is it a journal"), open_journal(path) as journal:
        list(journal)
    with pytest.raises(InputError, match="cannot read"), open_journal(tmp_path / "absent.zst") as journal:
        list(journal)
