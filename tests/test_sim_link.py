"""Shared links against processor sharing by hand, an exact fluid model, and theory; network credits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmesim.sim.environment import NanosecondEnvironment
from mmesim.sim.hub import later
from mmesim.sim.link import Link
from mmesim.sim.network import Nic
from mmesim.units import NS_PER_S, ns

S = NS_PER_S
GB = 10**9


def run(link, env, jobs):
    """End times in ns of jobs (start in ns, bytes), in the order given."""
    ends = {}
    for number, (start_ns, size_bytes) in enumerate(jobs):
        later(env, start_ns, lambda event: link.start(event.value[1], lambda: ends.update({event.value[0]: env.now})),
              (number, size_bytes))
    env.run()
    return [ends[number] for number in range(len(jobs))]


def fluid(jobs, capacity, cap):
    """The same by exact rational arithmetic, event by event."""
    now, left, waiting, ends = Fraction(0), {}, sorted(range(len(jobs)), key=lambda n: (jobs[n][0], n)), {}
    while waiting or left:
        speed = min(Fraction(cap), Fraction(capacity, len(left))) if left else Fraction(0)
        next_end = now + min(left.values()) / speed if left else None
        next_start = Fraction(jobs[waiting[0]][0], S) if waiting else None
        then = min(t for t in (next_end, next_start) if t is not None)
        left = {n: size - speed * (then - now) for n, size in left.items()}
        now = then
        for number in [n for n, size in left.items() if size <= 0]:
            ends[number] = now
            del left[number]
        while waiting and Fraction(jobs[waiting[0]][0], S) == now:
            number = waiting.pop(0)
            left[number] = Fraction(jobs[number][1])
    return [float(ends[n] * S) for n in range(len(jobs))]


def test_two_jobs_of_size_one_the_second_half_a_second_later():
    env = NanosecondEnvironment()
    assert run(Link(env, GB), env, [(0, GB), (S // 2, GB)]) == [3 * S // 2, 2 * S]


def test_three_jobs_of_sizes_one_two_three():
    env = NanosecondEnvironment()
    ends = run(Link(env, 6 * GB), env, [(0, 6 * GB), (0, 12 * GB), (0, 18 * GB)])
    assert ends == [3 * S, 5 * S, 6 * S]


def test_a_cap_on_each_transfer_leaves_capacity_unused():
    """Cap 1, capacity 2: two run at full cap, the third makes all slower."""
    env = NanosecondEnvironment()
    assert run(Link(env, 2 * GB, GB), env, [(0, GB), (0, 2 * GB)]) == [S, 2 * S]
    env = NanosecondEnvironment()
    ends = run(Link(env, 2 * GB, GB), env, [(0, GB)] * 3)
    assert ends == pytest.approx([1.5 * S] * 3, abs=2)


def test_changing_the_cap_and_cancelling():
    env = NanosecondEnvironment()
    link = Link(env, GB)
    ends = []
    first = link.start(GB, lambda: ends.append("first"))
    link.start(GB, lambda: ends.append(("second", env.now)))
    env.run(until=S)
    assert link.cancel(first) == GB // 2
    assert link.moved_bytes == GB
    link.set_cap(GB / 4)
    env.run()
    assert ends == [("second", 3 * S)]
    assert link.moved_bytes == 3 * GB // 2


def test_a_cleared_link_tells_nobody():
    env = NanosecondEnvironment()
    link = Link(env, GB)
    link.start(GB, lambda: pytest.fail("it was cleared"))
    link.clear()
    env.run()
    assert len(link) == 0


jobs_of_sizes = st.lists(st.tuples(st.integers(0, 5 * S), st.integers(1, 10 * GB)), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(jobs_of_sizes, st.integers(10**6, 10 * GB), st.integers(10**6, 10 * GB))
def test_agrees_with_an_exact_fluid_model(jobs, capacity, cap):
    env = NanosecondEnvironment()
    link = Link(env, capacity, cap)
    ends = run(link, env, jobs)
    assert link.moved_bytes == sum(size_bytes for _, size_bytes in jobs)
    assert ends == pytest.approx(fluid(jobs, capacity, cap), rel=1e-9, abs=30)


@pytest.mark.parametrize("law", ["exponential", "fixed"])
def test_mean_time_is_insensitive_to_the_law_of_sizes(law):
    """M/G/1-PS at load 0.5: mean time in system 2 service times, for every law."""
    rng = np.random.default_rng(4)
    n = 20_000
    starts = np.cumsum(rng.exponential(2.0, n))
    sizes = rng.exponential(1.0, n) if law == "exponential" else np.ones(n)
    env = NanosecondEnvironment()
    jobs = [(ns(start), max(1, round(size * GB))) for start, size in zip(starts, sizes, strict=True)]
    ends = run(Link(env, GB), env, jobs)
    mean_s = np.mean([(end - start) / S for end, (start, _) in zip(ends, jobs, strict=True)])
    assert mean_s == pytest.approx(2.0, rel=0.05)


def nic(env, credit_s=10.0, cap_bps=float(GB)):
    """Baseline 0.1 GB/s, burst 0.4 GB/s: a full bucket is 3 GB above the baseline."""
    return Nic(env, 0.1 * GB, 0.4 * GB, credit_s, cap_bps)


def test_a_full_bucket_lasts_its_time_at_full_burst():
    """5 GB: 10 s at 0.4 GB/s is 4 GB, the last 1 GB at 0.1 GB/s takes 10 s."""
    env = NanosecondEnvironment()
    link = nic(env)
    assert link.credit_bytes == 3 * GB
    assert run(link, env, [(0, 5 * GB)]) == [20 * S]
    assert link.credit_bytes == 0


def test_credits_come_back_below_the_baseline():
    """Spent at 20 s; idle for 6 s earns 0.6 GB: 2 s of burst (0.8 GB), then 0.2 GB at the baseline."""
    env = NanosecondEnvironment()
    assert run(nic(env), env, [(0, 5 * GB), (26 * S, GB)])[1] == (26 + 2 + 2) * S


def test_a_slow_transfer_earns_while_it_runs():
    """Cap 0.05 GB/s is half the baseline: after the spent bucket, 10 s of it earn 0.5 GB."""
    env = NanosecondEnvironment()
    link = nic(env)
    run(link, env, [(0, 5 * GB)])
    link.set_cap(0.05 * GB)
    link.start(GB, lambda: None)
    env.run(until=30 * S)
    assert link.credit_bytes == GB // 2


def test_without_credit_the_baseline_holds():
    env = NanosecondEnvironment()
    assert run(nic(env, credit_s=0.0), env, [(0, GB)]) == [10 * S]


def test_the_bucket_does_not_overflow():
    env = NanosecondEnvironment()
    link = nic(env)
    env.run(until=1000 * S)
    assert link.credit_bytes == 3 * GB
