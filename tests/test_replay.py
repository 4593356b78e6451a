"""A live journal replayed: all policies decide the same again, and what is not the same is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_world import Plan, Trouble, models, recorded, setup
from program import mmesim
from small_run import small_build

from mmesim.errors import InputError
from mmesim.journal import JournalWriter
from mmesim.journal.read import JournalReader
from mmesim.live.replay import Outcome, replay, setup_of
from mmesim.live.setup import Setup

BUSY = Trouble(download_fails=0.05, load_fails=0.05, out_of_memory=0.08, sizes_off=0.15, lost_per_s=0.15,
               found_per_s=0.5, copy_lost_per_s=0.5, described_per_s=0.5, vanish_per_s=0.2)
SCALING = [{"use": "target_tracking", "metric": "GPUUtilization", "target": 50, "out_datapoints": 1, "in_datapoints": 1,
            "scale_out_cooldown": "1s", "scale_in_cooldown": "1s"}]
ENDPOINTS: dict[str, dict[str, Any]] = {
    "lru": {},
    "gdsf": {"eviction": {"gpu": "gdsf", "disk": "gdsf"}},
    "sieve": {"eviction": {"gpu": "sieve", "disk": "sieve"}, "routing": "power_of_two"},
    "lfu_da": {"eviction": {"gpu": "lfu_da", "disk": "lfu_da"}},
    "s3fifo": {"eviction": {"gpu": "s3fifo", "disk": "lru_k"}},
    "random": {"eviction": {"gpu": "random", "disk": "random"}, "placement": "random"},
    "pinning": {"eviction": {"gpu": {"use": "pinning", "models": ["model-00*"], "around": "lfu"}}},
    "min_residency": {"eviction": {"gpu": {"use": "min_residency", "min": "1s", "around": "random"}}},
    "churn_guard": {"eviction": {"gpu": {"use": "churn_guard", "min_age": "1s", "around": "gdsf"}}},
    "ttl": {"eviction": {"gpu": {"use": "ttl", "keep_alive": "700ms"}}},
    "prewarm": {"prewarm": {"use": "hybrid_histogram", "period": "500ms"}},
    "forecast": {"prewarm": {"use": "forecast", "period": "1s"}},
    "blind": {"routing": {"use": "random", "blind": True, "spill_outstanding": 0}},
    "ch_bl": {"routing": "ch_bl", "placement": "hash"},
    "spill": {"routing": {"use": "least_outstanding", "spill_outstanding": 2}},
    "expected": {"routing": "least_expected_completion"},
    "replicas": {"placement": {"use": "popularity_replicas", "period": "1s", "half_life": "5s"}},
    "modelmesh": {"placement": {"use": "modelmesh", "period": "1s", "copy_rpm": 60}},
    "refusing": {"admission": {"use": "queue_limit", "per_copy": 3}},
    "uncached": {"server": {"model_cache": "disabled", "unload_stalls_admission": True}},
    "stalling": {"server": {"unload_stalls_admission": True, "keep_on_disk": False, "load_threads": 2}},
    "few": {"server": {"max_models": 3, "load_timeout": "1s", "failed_retry_after": "1s"}},
}
KNOWN = models(16, pinned=1)
Damage = Callable[[list[str]], None]


def endpoint(name: str, instances: int = 3, *, scaling: bool = True) -> dict[str, Any]:
    """The settings of one."""
    n = {"initial": instances, "min": 1, "max": instances + 1}
    return {"instances": n, "provisioning": {"drain_timeout": "2s"}, "autoscaling": SCALING if scaling else [],
            **ENDPOINTS[name]}


def journal_of(made_of: Setup, lines: list[str]) -> list[str]:
    """With a header, as a live journal has it."""
    header = {"journal": 3, "seed": made_of.seed, "models": [model.name for model in made_of.models],
              "reload_s": [[0, 0]] * len(made_of.models), "live": made_of.to_json()}
    return [json.dumps(header), *lines]


def replayed(made_of: Setup, lines: list[str], overrides: tuple[str, ...] = ()) -> Outcome:
    """The outcome of a replay from the header's setup."""
    reader = JournalReader(journal_of(made_of, lines), "journal")
    return replay(reader, setup_of(reader, overrides))


@settings(max_examples=44, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(sorted(ENDPOINTS)), seed=st.integers(0, 1 << 30), instances=st.integers(1, 3),
       calm=st.booleans(), later=st.integers(0, 4), zipf=st.sampled_from([0.0, 0.9]), disk=st.sampled_from([900, 4000]))
def test_every_policy_decides_the_same_again(name: str, seed: int, instances: int, calm: bool, later: int, zipf: float,
                                             disk: int) -> None:
    made_of = setup(endpoint(name, instances), KNOWN, seed=seed % 97, later=later, disk_mb=disk)
    plan = Plan(seed=seed, requests=150, zipf=zipf, trouble=Trouble() if calm else BUSY)
    world, lines = recorded(made_of, KNOWN, plan)
    assert not world.machine.in_flight and all(ticket.over for ticket in world.tickets)
    outcome = replayed(made_of, lines)
    assert outcome.difference is None
    assert outcome.counts["requests"] == 150 and outcome.counts["actions"] == outcome.equal["actions"] > 0
    assert outcome.counts["sent"] + outcome.counts["refused"] <= outcome.equal["requests"]


@pytest.mark.parametrize("name", sorted(ENDPOINTS))
def test_each_endpoint_in_trouble(name: str) -> None:
    made_of = setup(endpoint(name), KNOWN, later=3, disk_mb=1500)
    _, lines = recorded(made_of, KNOWN, Plan(seed=5, requests=250, trouble=BUSY))
    assert replayed(made_of, lines).difference is None


# That it can fail.


@pytest.fixture(scope="module")
def sound() -> tuple[Setup, list[str]]:
    """A recorded world with a random eviction policy, spill and scaling."""
    made_of = setup(endpoint("random") | {"routing": {"use": "least_outstanding", "spill_outstanding": 1}}, KNOWN)
    return made_of, recorded(made_of, KNOWN, Plan(seed=11, requests=400, trouble=BUSY))[1]


def changed(what: str, by: str, n: int = 5) -> Damage:
    """One line changed."""
    def change(lines: list[str]) -> None:
        number = at(lines, what, n)
        lines[number] = lines[number].replace(what, by, 1)
    return change


def dropped(what: str, n: int = 5) -> Damage:
    """One line dropped."""
    def drop(lines: list[str]) -> None:
        del lines[at(lines, what, n)]
    return drop


def at(lines: list[str], what: str, n: int) -> int:
    """The n-th line with this in it."""
    return [number for number, line in enumerate(lines) if what in line][n]


@pytest.mark.parametrize("damage", [
    changed('"reason":"evicted for model-0', '"reason":"evicted for model-x'), changed("false]}", "true]}"),
    changed('"LoadModel":{"instance":', '"LoadModel":{"instance":1', 3), changed('"refused":[', '"refused":[9', 2),
    changed('"actions":[]}', '"actions":[{"Stall":{"instance":1,"stalled":true}}]}', 9),
    dropped('"LoadFinished"'), dropped('"depart"', 70), dropped('"sent"'), dropped('"ModelMissed"'),
    dropped('"lost"', 0), dropped('"InstanceJoined"', 0), lambda lines: lines.insert(60, lines[60])])
def test_one_wrong_line_is_found(sound: tuple[Setup, list[str]], damage: Damage) -> None:
    made_of, lines = sound
    damaged = list(lines)
    damage(damaged)
    assert damaged != lines
    assert replayed(made_of, [*damaged, f'{{"end":{len(damaged)}}}']).difference is not None
    assert replayed(made_of, [*lines, f'{{"end":{len(lines)}}}']).difference is None


@pytest.mark.parametrize("what", ['"arrive"', '"CopyLost"', '"MetricsPublished"', '"depart"', '"CopyFound"',
                                  '"refused"'])
def test_no_line_can_be_dropped_unseen(sound: tuple[Setup, list[str]], what: str) -> None:
    made_of, lines = sound
    for number in [number for number, line in enumerate(lines) if what in line][:3]:
        try:
            outcome = replayed(made_of, [*lines[:number], *lines[number + 1:], f'{{"end":{len(lines)}}}'])
            assert outcome.difference is not None
        except InputError as error:
            assert f"behind {len(lines) - 1} lines" in str(error)


def test_the_end_may_only_lack_where_the_writer_was_killed(sound: tuple[Setup, list[str]]) -> None:
    made_of, lines = sound
    ends_with_input = at(lines, '"arrive"', 200)
    cut = replayed(made_of, lines[:ends_with_input + 1])
    assert cut.difference is None and cut.cut_off
    closed = replayed(made_of, [*lines[:ends_with_input + 1], f'{{"end":{ends_with_input + 1}}}'])
    assert closed.difference is not None and closed.difference.recorded == "" != closed.difference.replayed


def test_another_seed_or_policy_parts_from_it(sound: tuple[Setup, list[str]]) -> None:
    made_of, lines = sound
    assert replayed(replace(made_of, seed=8), lines).difference is not None
    for other in ("endpoint.eviction.gpu=lru", "endpoint.placement=hash", "endpoint.routing=random",
                  "endpoint.autoscaling=[]", "endpoint.admission={use: queue_limit, per_copy: 1}"):
        outcome = replayed(made_of, lines, (other,))
        assert outcome.difference is not None, other
        assert 0 < outcome.equal["requests"] < outcome.counts["requests"] == 400
        assert outcome.counts == replayed(made_of, lines).counts, "the rest is counted"


@pytest.mark.parametrize("wrong", ["endpoint.instances.max=9", "models.0.count=2", "endpoint.eviction.gpu=nosuch",
                                   "endpoint.eviction.gpu=belady", "endpoint.eviction.gpu={use: ttl, keep: 3s}"])
def test_only_policies_that_can_decide_live(sound: tuple[Setup, list[str]], wrong: str) -> None:
    with pytest.raises(InputError):
        replayed(*sound, (wrong,))


# The command.


def written(folder: Path, made_of: Setup, lines: list[str]) -> Path:
    """A file of them."""
    path = folder / "journal.jsonl"
    path.write_text("\n".join([*journal_of(made_of, lines), f'{{"end":{len(lines)}}}']) + "\n", encoding="utf-8")
    return path


def test_the_command_prints_what_is_equal(sound: tuple[Setup, list[str]], tmp_path: Path) -> None:
    path = written(tmp_path, *sound)
    result = mmesim("replay", str(path), "--json", cwd=tmp_path)
    told = json.loads(result.stdout)
    assert result.returncode == 0 and told["equal"] and told["recorded"]["evictions"] > 5 and not told["cut_off"]
    assert "actions is the same" in mmesim("replay", str(path), cwd=tmp_path).stdout


def test_the_command_explains_the_first_difference(sound: tuple[Setup, list[str]], tmp_path: Path) -> None:
    result = mmesim("replay", str(written(tmp_path, *sound)), "--set", "endpoint.eviction.gpu=lru", cwd=tmp_path)
    assert result.returncode == 1
    assert "the first difference is at" in result.stdout and "evicted for" in result.stdout
    assert '"model":1 (model-001)' in result.stdout.replace('"model":01', "")


def test_a_simulated_run_holds_no_requests(tmp_path: Path) -> None:
    build = small_build(tmp_path)
    writer = JournalWriter(tmp_path / "journal.jsonl.zst", build)
    writer.close()
    result = mmesim("replay", str(tmp_path / "journal.jsonl.zst"), cwd=tmp_path)
    assert result.returncode == 2 and "it holds no requests" in result.stderr
