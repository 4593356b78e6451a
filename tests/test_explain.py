"""Explanations of a run whose story is known: who came when, who had to leave for whom, and how long all that takes.

One GPU instance with room for two models, one download thread, everything constant. A cold start from S3 takes
FETCH (0.15 s to the first byte, 95.35 MB at 8 × 87 MB/s) + EXTRACT (102.53 MB at 200 MB/s) + load; an unload takes 1 s
(two polls of 0.5 s). The requests:

=======  =====  ==================================================================================
at (s)   model
=======  =====  ==================================================================================
10       a, b   cold; b waits until a's download thread is free
60       a      warm
100      c      cold; b leaves for it: a was touched later
120      b      from the disk; a leaves (touched at 60, c at 100); Belady lets c go: never asked again
200      a      from the disk; c leaves
300      d      cold; b is busy when room is wanted, so a must leave, though b was touched before
300+     b      issued just before d's files are there: busy
400      a      from the disk; b leaves (touched before d was READY)
=======  =====  ==================================================================================
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reference.plane import ReferencePlane
from small_run import small_run
from typer.testing import CliRunner

from mmesim.cli.app import app
from mmesim.journal import JournalWriter
from mmesim.results.output import OutputWriter
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate

FETCH_S = 0.15 + 95.35e6 / (8 * 87e6)
EXTRACT_S = 102.53e6 / 200e6
UNLOAD_S = 1.0
BUSY_S = 300 + FETCH_S + EXTRACT_S - 0.03
ASKED = [(10, "a"), (10, "b"), (60, "a"), (100, "c"), (120, "b"), (200, "a"), (300, "d"), (BUSY_S, "b"), (400, "a")]

SCENARIO = """
name: story
seed: 1
duration: 10m
warmup: 0s
endpoint:
  instance_type: ml.g4dn.2xlarge
  instances: 1
  server: {max_models: 2, download_threads: 1, load_time_cv: 0}
  storage: {s3_first_byte: {law: constant, mean: 150ms}}
models:
  - {profile: resnet50-pytorch-t4, name: a}
  - {profile: resnet50-pytorch-t4, name: b}
  - {profile: resnet50-pytorch-t4, name: c}
  - {profile: resnet50-pytorch-t4, name: d}
workload: {trace: story.csv, trace_options: {map: name}}
output: {requests: true}
"""


def made(folder: Path, *overrides: str) -> Path:
    """The result folder of the story."""
    (folder / "story.yaml").write_text(SCENARIO)
    rows = "".join(f"{at:.9f},{model}\n" for at, model in ASKED)
    (folder / "story.csv").write_text("timestamp_s,model\n" + rows)
    built = build(load_scenario(str(folder / "story.yaml"), overrides))
    out = OutputWriter(folder / "out")
    journal = JournalWriter(out.path("journal.jsonl.zst"), built) if built.scenario.output.journal else None
    simulate(built, out=out, journal=journal, plane=ReferencePlane).write(out)
    return out.commit()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("story"))


def explain(run: Path, *options: str) -> Any:
    """`mmesim explain RUN … --json`."""
    done = CliRunner().invoke(app, ["explain", str(run), *options, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def said(run: Path, *options: str) -> str:
    """`mmesim explain RUN …` as text."""
    done = CliRunner().invoke(app, ["explain", str(run), *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(run: Path, *options: str) -> str:
    """Its message when the input is wrong."""
    done = CliRunner().invoke(app, ["explain", str(run), *options])
    assert done.exit_code == 2, done.output
    return done.stderr


def parts(run: Path, request: int) -> dict[str, float]:
    """Seconds of a request by part."""
    (told,) = explain(run, "--request", str(request))
    assert sum(each["length_s"] for each in told["parts"]) == pytest.approx(told["latency_s"], abs=1e-9)
    assert sum(each["share"] for each in told["parts"]) == pytest.approx(1)
    return {each["what"]: each["length_s"] for each in told["parts"]}


def load_s(run: Path) -> float:
    """What a load takes, by the profile."""
    from mmesim.journal import open_journal
    with open_journal(run / "journal.jsonl.zst") as journal:
        return float(journal.header["reload_s"][0][0])


# Requests -------------------------------------------------------------------------------------------------------


def test_a_first_request_is_split_into_what_its_cold_start_did(story: Path) -> None:
    found = parts(story, 0)
    assert found["S3: first byte and bytes"] == pytest.approx(FETCH_S, abs=1e-6)
    assert found["extraction"] == pytest.approx(EXTRACT_S, abs=1e-6)
    assert found["load into memory"] == pytest.approx(load_s(story), rel=0.01)
    assert not any(what.startswith("waiting") for what in found)


def test_the_second_waits_for_the_download_thread(story: Path) -> None:
    found = parts(story, 1)
    assert found["waiting for a download thread"] == pytest.approx(FETCH_S + EXTRACT_S, abs=1e-6)
    assert found["S3: first byte and bytes"] == pytest.approx(FETCH_S, abs=1e-6)


def test_who_had_to_leave_is_told_and_how_long_that_took(story: Path) -> None:
    assert parts(story, 3)["waiting for memory"] == pytest.approx(UNLOAD_S, abs=1e-9)
    (told,) = explain(story, "--request", "3")
    assert told["before_room_s"] == 0
    decided_s = 100 + FETCH_S + EXTRACT_S
    (victim,) = told["made_room"]
    assert victim == {"model": "b", "on_disk": False, "at_s": pytest.approx(decided_s, abs=1e-6),
                      "gone_s": pytest.approx(decided_s + UNLOAD_S, abs=1e-6), "could_not_leave": []}
    (told,) = explain(story, "--request", "6")
    assert [(each["model"], each["could_not_leave"]) for each in told["made_room"]] == [("a", ["b"])]


def test_a_request_is_compared_with_its_model(story: Path) -> None:
    slow, warm = explain(story, "--request", "5")[0], explain(story, "--request", "2")[0]
    assert (slow["model_requests"], warm["tier"], slow["tier"]) == (4, "gpu", "disk")
    assert slow["warm_median_s"] == warm["latency_s"]
    between = [explain(story, "--request", str(n))[0]["latency_s"] for n in (0, 2, 5, 8)]
    assert slow["model_median_s"] == pytest.approx(sum(sorted(between)[1:3]) / 2, abs=1e-9)


def test_the_slowest_are_found_with_filters(story: Path) -> None:
    assert [each["request"] for each in explain(story, "--request", "slowest:2")] == [3, 6]
    assert [each["request"] for each in explain(story, "--request", "slowest", "--model", "b")] == [1]
    assert [each["request"] for each in explain(story, "--request", "slowest:9", "--at", "1m40s")] == [3]
    text = said(story, "--request", "3")
    assert "Request 3 for c, 1m 40s after the start" in text
    assert "b left for it at 1m 40." in text and "█" in text and "waiting for memory" in text


# Evictions ------------------------------------------------------------------------------------------------------


def test_a_mistake_and_its_regret(story: Path) -> None:
    told = explain(story, "--eviction", "b")
    assert (told["instance"], told["wanted_by"], told["times_evicted"]) == (0, "c", 2)
    shown = told["decision"]["shown"]
    assert [(each["model"], each["victim"], each["uses"]) for each in shown] == [("b", True, 1), ("a", False, 2)]
    assert shown[1]["last_touch_s"] == pytest.approx(60, abs=1e-6)
    assert told["decision"]["candidates"] == 2
    assert told["reload"]["away_s"] == pytest.approx(20 - FETCH_S - EXTRACT_S, abs=1e-6)
    assert told["reload"]["took_s"] == pytest.approx(UNLOAD_S + load_s(story), rel=0.01)
    assert told["reload"]["requests_waited"] == 1
    assert told["reload"]["waited_s"] == pytest.approx(told["reload"]["took_s"], abs=1e-9)
    hindsight = told["hindsight"]
    assert (hindsight["best"], hindsight["later_asked"]) == ("a", 1)
    assert hindsight["regret_s"] == pytest.approx(200 - 120, abs=1e-6)


def test_a_candidate_that_is_never_asked_again_would_have_been_best(story: Path) -> None:
    told = explain(story, "--eviction", "a@2m")
    assert (told["wanted_by"], told["at_s"]) == ("b", pytest.approx(120, abs=1e-6))
    assert (told["hindsight"]["best"], told["hindsight"]["best_next_request_s"]) == ("c", None)


def test_no_mistake_when_nothing_better_could_leave(story: Path) -> None:
    told = explain(story, "--eviction", "a", "--at", "5m")
    assert (told["wanted_by"], told["decision"]["could_not_leave"]) == ("d", ["b"])
    assert told["hindsight"]["regret_s"] == 0
    never = explain(story, "--eviction", "c")
    assert (never["reload"], never["hindsight"]["regret_s"]) == (None, 0)
    assert "No: of all candidates none was asked for later" in said(story, "--eviction", "c")


def test_the_list_of_evictions(story: Path) -> None:
    told = explain(story, "--evictions")
    assert [(each["model"], each["wanted_by"]) for each in told["shown"]] == [
        ("b", "c"), ("a", "b"), ("c", "a"), ("a", "d"), ("b", "a")]
    assert explain(story, "--evictions", "--model", "b")["evictions"] == 2


# Scaling --------------------------------------------------------------------------------------------------------


def test_scaling_is_explained_with_what_was_seen(tmp_path: Path) -> None:
    small_run(tmp_path, "endpoint.autoscaling=[{use: step, metric: Invocations, statistic: Sum, threshold: 60, "
                        "steps: [{add: 1}], datapoints: 2}]")
    told = explain(tmp_path / "out", "--scaling")
    (change,) = told["changes"]
    (policy,) = change["policies"]
    assert (change["from"], change["to"], policy["wish"]) == (2, 3, 3)
    assert policy["metric"] == "Invocations (Sum)" and len(policy["datapoints"]) == 2
    assert min(policy["datapoints"]) >= 60
    (joined,) = change["joined"]
    assert (joined["instance"], joined["took_s"]) == (2, 40.0)


def test_bounds_are_told_apart_from_wishes(tmp_path: Path) -> None:
    small_run(tmp_path)
    told = explain(tmp_path / "out", "--scaling", "--at", "7m")
    (change,) = told["changes"]
    assert (change["from"], change["to"], change["cut_by_bounds"]) == (3, 1, True)
    assert "the bounds demand it" in said(tmp_path / "out", "--scaling")


# Overview and what is missing --------------------------------------------------------------------------------------


def test_the_overview_names_what_to_look_at(story: Path) -> None:
    told = explain(story)
    assert [each["request"] for each in told["slowest"]][:2] == [3, 6]
    assert told["thrashing"][0] == {"model": "a", "evicted": 2, "soon_back": 2}
    text = said(story)
    assert f"mmesim explain {story} --request 3" in text and f"mmesim explain {story} --eviction a" in text


def test_what_was_not_recorded_is_recorded_by_running_again(tmp_path: Path) -> None:
    run = made(tmp_path, "output.requests=false", "output.decisions=false")
    assert "output.requests=true" in refused(run, "--request", "slowest")
    assert explain(run)["slowest"] is None and explain(run)["slowest_cold_starts"][0]["model"] == "c"
    told = explain(run, "--eviction", "b")
    assert (told["decision"], told["wanted_by"]) == (None, "c")
    command = {"command": ["mmesim", "run", str(tmp_path / "story.yaml")]}
    (tmp_path / "out/run_info.json").write_text(json.dumps(command))
    assert explain(run, "--eviction", "b", "--rerun")["hindsight"]["regret_s"] == pytest.approx(80, abs=1e-6)
    (tmp_path / "story.csv").unlink()
    assert "no longer there" in refused(run, "--eviction", "b", "--rerun")


@pytest.mark.parametrize(("options", "says"), [
    (("--request", "999"), "no request 999"), (("--request", "fast"), "slowest:5"),
    (("--eviction", "aa"), "did you mean"), (("--eviction", "d"), "never evicted"),
    (("--instance", "7", "--request", "slowest"), "no instance 7"),
    (("--at", "later"), "1h2m"), (("--scaling", "--evictions"), "one thing at a time"),
    (("--request", "slowest", "--model", "x"), "no model 'x'")])
def test_what_does_not_exist_is_refused(story: Path, options: tuple[str, ...], says: str) -> None:
    assert says in refused(story, *options)


def test_a_folder_without_a_run_or_with_a_damaged_journal_is_refused(tmp_path: Path) -> None:
    assert "is not a result of mmesim" in refused(tmp_path)
    run = made(tmp_path)
    journal = run / "journal.jsonl.zst"
    journal.write_bytes(journal.read_bytes()[:-40])
    assert "journal.jsonl.zst" in refused(run)
    journal.unlink()
    assert "has no journal" in refused(run)
