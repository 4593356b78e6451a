"""Closed-loop clients: Locust's stages worked out by hand, and draws that are a function of user and block."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mmesim.core.distribution import Distribution
from mmesim.errors import InputError
from mmesim.units import NS_PER_S
from mmesim.workload.build import build_closed_loop
from mmesim.workload.clients import staged_users
from mmesim.workload.types import (
    BLOCK,
    NEVER_NS,
    WORK_ONE,
    ClientsSpec,
    PopularitySpec,
    StageSpec,
    WorkloadModel,
    WorkloadSpec,
)

MODELS = [WorkloadModel(f"m{i}") for i in range(20)]
BETWEEN = Distribution("uniform", low=0.05, high=0.5)
SPEC = WorkloadSpec(clients=ClientsSpec(wait=BETWEEN, users=50), popularity=PopularitySpec("zipf", s=1.0))


def seconds_of(stages: list[tuple[float, int, float]]) -> tuple[list[float], list[float]]:
    start, stop = staged_users([StageSpec(*stage) for stage in stages])
    return (start / NS_PER_S).tolist(), (stop / NS_PER_S).tolist()


def test_whole_rates_spawn_a_group_each_second() -> None:
    """10 users at 5/s: five at 0 s and five at 1 s. Then 20 at 1/s: one each second from 30 s on. All end at 60 s."""
    start, stop = seconds_of([(30, 10, 5), (60, 20, 1)])
    assert start == [0.0] * 5 + [1.0] * 5 + [30.0 + k for k in range(10)]
    assert stop == [60.0] * 20


@pytest.mark.parametrize(("rate", "expected"), [
    (2.5, [0.0, 0.0, 0.8, 0.8, 1.6, 1.6, 2.4]),  # floor(2.5) = 2 users each 2 / 2.5 s
    (0.5, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]),
    (1.5, [0.0, 0.666666667, 1.333333333, 2.0, 2.666666667, 3.333333333, 4.0]),
    (100.0, [0.0] * 7),
])
def test_broken_and_large_rates(rate: float, expected: list[float]) -> None:
    assert seconds_of([(60, 7, rate)])[0] == expected


def test_fewer_users_stop_those_that_started_last_at_the_same_pace() -> None:
    """6 users at 0 s; from 10 s down to 1 at 2/s: users 5, 4 at 10 s, 3, 2 at 11 s, 1 at 12 s; the last at the end."""
    start, stop = seconds_of([(10, 6, 6), (20, 1, 2), (30, 3, 1)])
    assert start == [0.0] * 6 + [20.0, 21.0]
    assert stop == [30.0, 12.0, 11.0, 11.0, 10.0, 10.0, 30.0, 30.0]


def test_a_new_stage_ends_the_ramp_under_way() -> None:
    """100 users at 1/s are not reached in 5 s: five are there when the next stage wants three."""
    start, stop = seconds_of([(5, 100, 1), (8, 3, 10)])
    assert start == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert stop == [8.0, 8.0, 8.0, 5.0, 5.0]


def test_stages_change_at_whole_seconds_only() -> None:
    """until 2.5 s: the shape is asked at 0, 1, 2 (first stage) and 3 (second). A stage between ticks is never seen."""
    start, stop = seconds_of([(2.5, 1, 1), (2.9, 50, 50), (4.2, 2, 1)])
    assert start == [0.0, 3.0] and stop == [5.0, 5.0]


def test_equal_stages_running_are_one_stage() -> None:
    start, _ = seconds_of([(2, 4, 0.5), (20, 4, 0.5)])
    assert start == [0.0, 2.0, 4.0, 6.0]


def test_the_published_ramp_to_200_users() -> None:
    """A benchmark of a multi-model endpoint: 10 users at 5/s, then 20 at 1/s, then 20 more each 30 s at 2/s."""
    stages = [(30, 10, 5), (60, 20, 1), *((30 * k, 20 * (k - 1), 2) for k in range(3, 11)), (340, 200, 2)]
    start, stop = seconds_of(stages)
    running = [sum(t <= at for t in start) for at in (0, 1, 29.5, 30, 39, 59.9, 60, 69, 310, 339)]
    assert running == [5, 10, 10, 11, 20, 20, 22, 40, 200, 200]
    assert set(stop) == {340.0} and start == sorted(start)


def test_users_from_start_to_end() -> None:
    loop = build_closed_loop(SPEC, MODELS, 1)
    assert loop.n_users == 50 and not loop.start_ns.any() and (loop.stop_ns == NEVER_NS).all()


def test_draws_depend_on_user_and_block_alone() -> None:
    spec = replace(SPEC, session_repeat=0.9)
    forth = build_closed_loop(spec, MODELS, 1)
    back = build_closed_loop(spec, MODELS, 1)
    wanted = [(user, block) for user in range(5) for block in range(5)]
    drawn = {key: forth.draws(*key) for key in wanted}
    for key in reversed(wanted):
        for one, other in zip(back.draws(*key), drawn[key], strict=True):
            assert np.array_equal(one, other) and len(one) == BLOCK
    assert not np.array_equal(drawn[0, 0][1], drawn[1, 0][1])
    assert [array.dtype for array in drawn[0, 0]] == [np.int32, np.int64, np.int64]


def all_draws(spec: WorkloadSpec, models: list[WorkloadModel] = MODELS, blocks: int = 20) -> list[np.ndarray]:
    loop = build_closed_loop(spec, models, 1)
    drawn = [loop.draws(user, block) for user in range(loop.n_users) for block in range(blocks)]
    return [np.concatenate(column) for column in zip(*drawn, strict=True)]


def test_draws_follow_popularity_wait_and_work() -> None:
    """64,000 draws; bounds of four standard errors."""
    exponential = [replace(model, service_law=Distribution("exponential")) for model in MODELS]
    model, think_ns, work = all_draws(replace(SPEC, popularity=PopularitySpec("zipf", shuffle=False)), exponential)
    n, shares = len(model), 1 / np.arange(1, 21) / (1 / np.arange(1, 21)).sum()
    assert (np.abs(np.bincount(model) - n * shares) < 4 * np.sqrt(n * shares)).all()
    assert think_ns.min() >= 50_000_000 and think_ns.max() < 500_000_000
    assert think_ns.mean() / 1e9 == pytest.approx(0.275, abs=4 * 0.45 / math.sqrt(12 * n))
    assert work.mean() / WORK_ONE == pytest.approx(1, abs=4 / math.sqrt(n))


def test_sessions_of_a_user_run_through_its_blocks() -> None:
    """P(same again) = r + (1 - r) sum p^2, across the ends of blocks as inside them."""
    spec = replace(SPEC, session_repeat=0.8, popularity=PopularitySpec("uniform"))
    model = all_draws(spec, blocks=40)[0].reshape(50, 40 * BLOCK)
    again = np.diff(model, axis=1) == 0
    expected = 0.8 + 0.2 / 20
    error = math.sqrt(expected * (1 - expected))
    assert again.mean() == pytest.approx(expected, abs=4 * error / math.sqrt(again.size))
    seams = again[:, BLOCK - 1::BLOCK]
    assert seams.mean() == pytest.approx(expected, abs=4 * error / math.sqrt(seams.size))


def test_a_setting_moves_only_its_own_draws() -> None:
    base, sessions = all_draws(SPEC, blocks=2), all_draws(replace(SPEC, session_repeat=0.5), blocks=2)
    assert np.array_equal(base[1], sessions[1]) and not np.array_equal(base[0], sessions[0])
    uniform = all_draws(replace(SPEC, popularity=PopularitySpec("uniform")), blocks=2)
    assert np.array_equal(base[1], uniform[1])


def test_drifting_popularity_is_refused() -> None:
    with pytest.raises(InputError, match="stands still"):
        build_closed_loop(replace(SPEC, popularity=PopularitySpec("drifting")), MODELS, 1)
