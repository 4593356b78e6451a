"""A live journal replayed: all policies decide the same again, and what is not the same is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_world import Plan, Trouble, models, recorded, setup

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


@settings(max_examples=66, deadline=None, suppress_health_check=list(HealthCheck))
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
