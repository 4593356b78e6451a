"""ModelMesh's placement and copy rules, as written and as meant, on situations worked out by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmesim.core.policy import Prewarm
from mmesim.policies.placement.modelmesh import ModelMesh
from mmesim.policies.placement.shortlist import Shortlist, not_busy, record
from mmesim.policies.registry import PolicyError, resolve
from mmesim.testing import check_policy
from mmesim.testing.report import Status
from mmesim.testing.views import FakeEndpoint, FakeInstance, FakeModel, model_spec
from mmesim.units import GIB, MIB

NS_PER_S = 1_000_000_000
MINUTE_NS = 60 * NS_PER_S
HOUR_NS = 60 * MINUTE_NS
NOW_NS = 1000 * HOUR_NS


def test_conforms() -> None:
    for reading in ("written", "meant"):
        report = check_policy(ModelMesh, "placement", {"reading": reading})
        assert {check.status for check in report.checks} == {Status.PASS}, report


def shortlisted(reading: str, instances: Iterable[FakeInstance], own: int = 0, size_bytes: int = GIB) -> list[int]:
    records = [record(instance, size_bytes, NOW_NS) for instance in instances]
    of = Shortlist(reading == "written").of(records, records[own], NOW_NS)
    return [instance for instance, _ in of]


def test_order_not_full_then_fewest_models_then_most_room() -> None:
    """0 is full; of the others 2 and 3 hold one model less than 1, and 3 has more room."""
    instances = [FakeInstance(0, free_memory_bytes=MIB, models_ready=(9,)),
                 FakeInstance(1, free_memory_bytes=9 * GIB, models_ready=(1, 2)),
                 FakeInstance(2, free_memory_bytes=4 * GIB, models_ready=(1,)),
                 FakeInstance(3, free_memory_bytes=5 * GIB, models_cold=(1,))]
    order = sorted(instances, key=lambda one: record(one, GIB, NOW_NS).order)
    assert [one.index for one in order] == [3, 2, 1, 0]


def test_order_of_full_ones_is_by_their_oldest_copy() -> None:
    instances = [FakeInstance(i, free_memory_bytes=0, models_ready=(1,), oldest_use_ns=NOW_NS - age * MINUTE_NS)
                 for i, age in enumerate((5, 50, 20))]
    assert [one.index for one in sorted(instances, key=lambda one: record(one, GIB, NOW_NS).order)] == [1, 2, 0]


def room(*free_gib: float) -> list[FakeInstance]:
    """Instances with so much free memory, all with one model; the one with most is best."""
    return [FakeInstance(i, free_memory_bytes=int(gib * GIB), models_ready=(1,)) for i, gib in enumerate(free_gib)]


def test_meant_half_of_the_best_room_written_a_quarter() -> None:
    """12 GiB at best. 5 GiB is over a quarter but under half. (Two further instances only, of which one decides, so
    that as written the record of the other is looked at: its own.)"""
    assert shortlisted("meant", room(12, 7, 5)) == [0, 1]
    assert shortlisted("written", room(12, 5), own=1) == [0, 1]         # its own turn: the best's record, in range
    assert shortlisted("meant", room(12, 5), own=1) == [0]


def test_written_takes_the_deciding_instances_record_for_others() -> None:
    """Room 12, 11, 2 GiB. Decided at 2 (2 GiB, below a quarter of 12): 1 is turned down for what 2 lacks. Decided at 1:
    it and then 2 are in, 2 although it has not the room: 11 GiB are seen."""
    assert shortlisted("written", room(12, 11, 2), own=2) == [0]
    assert shortlisted("written", room(12, 11, 2), own=1) == [0, 1, 2]
    assert shortlisted("meant", room(12, 11, 2), own=2) == shortlisted("meant", room(12, 11, 2), own=1) == [0, 1]


def test_written_sees_the_deciding_instances_age_and_load() -> None:
    """Full instances of which 0 has the oldest copy (20 min): 45 s or 2 min younger is as good. 1 is 10 min younger.
    Decided at 0, every other seems as old as 0, and as busy."""
    full = [FakeInstance(i, free_memory_bytes=0, models_ready=(1,), oldest_use_ns=NOW_NS - age * MINUTE_NS,
                         steady_rate_rps=rate) for i, (age, rate) in enumerate(((20, 1), (10, 500), (1, 500)))]
    assert shortlisted("written", full, own=0) == [0, 1, 2]
    assert shortlisted("meant", full) == [0]
    records = [record(instance, GIB, NOW_NS) for instance in full]
    assert [rpm for _, rpm in Shortlist(True).of(records, records[0], NOW_NS)] == [60, 60, 60]


def test_age_of_full_ones_45_s_or_a_tenth() -> None:
    def full(*ages_s: float) -> list[FakeInstance]:
        return [FakeInstance(i, free_memory_bytes=0, models_ready=(1,), oldest_use_ns=NOW_NS - int(age * NS_PER_S))
                for i, age in enumerate(ages_s)]

    assert shortlisted("meant", full(100, 55, 54)) == [0, 1]            # 45 s younger; 46 s
    assert shortlisted("meant", full(1000, 900, 899)) == [0, 1]         # a tenth of the age


def test_number_of_models_meant_one_and_a_half_written_one_and_a_quarter() -> None:
    """10 models at best; below 10 any number is in range."""
    many = [FakeInstance(i, models_ready=tuple(range(n))) for i, n in enumerate((10, 12, 13, 15, 16))]
    assert shortlisted("written", many, own=0) == [0, 1]
    assert shortlisted("meant", many) == [0, 1, 2, 3]
    few = [FakeInstance(i, models_ready=tuple(range(n))) for i, n in enumerate((1, 9, 10))]
    assert shortlisted("meant", few) == [0, 1]


@pytest.mark.parametrize(("used_s", "kept"), [(-20, [0, 1]), (3, [0, 1, 2]), (60, [0, 1, 2, 3]),
                                              (3600, [0, 1, 2, 3, 4]), (100_000, [0, 1, 2, 3, 4, 5])])
def test_busy_ones_are_dropped_by_how_recently_the_model_was_used(used_s: float, kept: list[int]) -> None:
    """Least load 200 rpm: 1.1, 1.5, 3 and 4 times that; below 100 rpm never (not here)."""
    assert not_busy(list(enumerate((200, 220, 300, 600, 800, 5000))), used_s) == kept


def test_below_a_hundred_a_minute_nobody_is_busy() -> None:
    assert not_busy([(0, 1.0), (1, 99.0), (2, 111.0)], -20) == [0, 1]       # the least counts as 100


def placing(reading: str = "meant", **values: object) -> ModelMesh:
    policy = ModelMesh(reading, **values)  # type: ignore[arg-type]
    policy.rng = np.random.default_rng(1)
    return policy


def test_chance_among_the_shortlist() -> None:
    """Three alike, one with too little room: a third each."""
    policy, model = placing(), FakeModel(0, model_spec(size_bytes=GIB))
    places = Counter(policy.place(model, room(12, 12, 12, 3), NOW_NS) for _ in range(3000))
    assert set(places) == {0, 1, 2}
    assert min(places.values()) > 900                                    # 1000 +- 4 sigma of 26


def endpoint(instances: int, uses: int, *, where: tuple[int, ...] = (0,), free_bytes: int = 10 * GIB,
             last_use_ns: int = NOW_NS, age_ns: int = HOUR_NS, size_bytes: int = GIB) -> FakeEndpoint:
    """One model with copies, on instances of 14 GiB."""
    model = FakeModel(0, model_spec(size_bytes=size_bytes), where, uses=uses, last_use_ns=last_use_ns)
    return FakeEndpoint((model,), tuple(
        FakeInstance(i, free_memory_bytes=free_bytes, models_ready=(0,) if i in where else (),
                     oldest_use_ns=NOW_NS - age_ns) for i in range(instances)))


def checks(policy: ModelMesh, times_s: Iterable[float], situations: Iterable[FakeEndpoint]) -> list[list[Prewarm]]:
    """What it decides at each of these times."""
    return [list(policy.rearrange(one, NOW_NS + int(time * NS_PER_S))) for time, one in
            zip(times_s, situations, strict=True)]


def added(reading: str, rpm: float, instances: int, where: tuple[int, ...] = (0,)) -> int:
    """Copies added for so many requests a minute and copy, in ten seconds."""
    uses = round(rpm * len(where) / 6)
    quiet, loaded = endpoint(instances, 0, where=where), endpoint(instances, uses, where=where)
    return len(checks(placing(reading), (0, 10), (quiet, loaded))[1])


def test_copies_for_a_load_of_seven_thousand() -> None:
    """Oracle: 7000 div 2000 = 3, among the candidates, at most a third of the instances once it is over 2."""
    assert added("written", 7000, 12) == 3
    assert added("written", 7000, 7) == 2                               # a third of 7
    assert added("written", 7000, 3) == 2                               # candidates
    assert added("written", 1999, 12) == 0
    assert added("written", 4000, 12) == 2
    assert added("written", 7000, 12, where=(0, 1)) == 3                # per copy


def test_written_four_instances_get_one_copy_for_more_load_meant_two() -> None:
    """With three thresholds' load a third of 4 or 5 instances counts: 1, fewer than for two thresholds'."""
    assert [added("written", rpm, 5) for rpm in (4200, 6300)] == [2, 1]
    assert [added("meant", rpm, 5) for rpm in (4200, 6300)] == [2, 2]


def test_no_copy_while_a_load_is_recent() -> None:
    """Loads take 10 s: none for 10 + 10 + 2 · 10 s after a copy was placed."""
    policy = placing()
    steps = [endpoint(6, 1000 * k, where=(0,)) for k in range(8)]
    counts = [len(decided) for decided in checks(policy, range(0, 80, 10), steps)]
    assert counts == [0, 2, 0, 0, 0, 2, 0, 0]


def test_second_copy_for_regular_use() -> None:
    """Used once, 6 min later, 14 min later: the use 8 min before is in the range of 7 to 40 min; 6 min is not."""
    def uses_at(minutes: tuple[int, ...], **values: int) -> list[int]:
        """Checks each 10 s; minutes at which a copy was added."""
        policy, uses, seen = placing(), 1, []
        for step in range(1, 6 * 60):
            uses += any(6 * minute == step for minute in minutes)
            if policy.rearrange(endpoint(3, uses, **values), NOW_NS + step * 10 * NS_PER_S):
                seen.append(step // 6)
        return seen

    assert uses_at((1, 7)) == []
    assert uses_at((1, 7, 15)) == [15]
    assert uses_at((1, 10)) == [10]
    assert uses_at((1, 50)) == []
    assert uses_at((1, 10), free_bytes=GIB) == []                        # 7 % free, in a cache of an hour
    assert uses_at((1, 10), free_bytes=GIB, age_ns=21 * HOUR_NS) == [10]


def leaves(reading: str, situation: FakeEndpoint, heavy_ns: int | None = None) -> list[Prewarm]:
    """What leaves, when the load was heavy so long ago."""
    policy = placing(reading)
    before = replace(situation, models=(replace(situation.models[0], uses=0),))
    list(policy.rearrange(before, NOW_NS - 10 * NS_PER_S))
    if heavy_ns is not None:
        policy._heavy_ns[0] = NOW_NS - heavy_ns
    policy._fewer_ns = 0
    return list(policy.rearrange(situation, NOW_NS))


def test_second_copy_leaves_after_a_tenth_of_the_caches_age() -> None:
    """The worse instance in the order gives it up: here both are full, so the one whose oldest copy is younger."""
    def situation(idle_min: float, free_bytes: int = 0) -> FakeEndpoint:
        two = endpoint(2, 0, where=(0, 1), free_bytes=free_bytes, last_use_ns=NOW_NS - int(idle_min * MINUTE_NS))
        return replace(two, instances=(replace(two.instances[0], oldest_use_ns=NOW_NS - 50 * MINUTE_NS),
                                       two.instances[1]))

    assert leaves("meant", situation(6.1)) == [Prewarm(0, 0, load=False)]
    assert leaves("meant", situation(5.9)) == []
    assert leaves("meant", situation(6.1, free_bytes=GIB)) == []         # 7 % free


def test_written_drops_the_bound_of_ten_hours_for_old_heavy_load_meant_for_recent() -> None:
    """A cache of 200 h: a tenth of its age is 20 h. Idle for 15 h; heavy load 1 h or 50 h ago (recent: 40 h)."""
    idle = endpoint(2, 0, where=(0, 1), free_bytes=0, last_use_ns=NOW_NS - 15 * HOUR_NS, age_ns=200 * HOUR_NS)
    gone = {(reading, hours): bool(leaves(reading, idle, hours * HOUR_NS)) for reading in ("written", "meant")
            for hours in (1, 50)}
    assert gone == {("written", 1): True, ("written", 50): False, ("meant", 1): False, ("meant", 50): True}
    assert leaves("written", idle) and leaves("meant", idle)             # never heavy


def test_third_copy_leaves_written_after_five_hours_meant_by_the_caches_age() -> None:
    """A cache of an hour: 10 min without heavy load are enough; as written it is always 5 h."""
    three = endpoint(3, 100, where=(0, 1, 2), free_bytes=0)
    gone = {(reading, minutes): bool(leaves(reading, three, minutes * MINUTE_NS)) for reading in ("written", "meant")
            for minutes in (9, 11, 299, 301)}
    assert [gone["written", minutes] for minutes in (9, 11, 299, 301)] == [False, False, False, True]
    assert [gone["meant", minutes] for minutes in (9, 11, 299, 301)] == [False, True, True, True]


def test_meant_age_grows_with_the_cache() -> None:
    """(3 · 10 h + 10,400 s) / 100 = 19.7 min."""
    old = endpoint(3, 100, where=(0, 1, 2), free_bytes=0, age_ns=10 * HOUR_NS)
    assert [bool(leaves("meant", old, minutes * MINUTE_NS)) for minutes in (19, 20)] == [False, True]


def test_third_copy_stays_at_two_thirds_of_the_threshold() -> None:
    """3 copies in 10 s: 2000 rpm each are 1000 requests; two thirds 667."""
    def at(uses: int) -> FakeEndpoint:
        return endpoint(3, uses, where=(0, 1, 2), free_bytes=0)

    assert leaves("meant", at(666), HOUR_NS)
    assert not leaves("meant", at(669), HOUR_NS)


def test_one_pass_frees_a_twentieth_of_an_instance_besides_the_first() -> None:
    """Four models of 0.5 GiB with copies on both instances of 14 GiB: 0.7 GiB: one copy each."""
    models = tuple(FakeModel(i, model_spec(size_bytes=GIB // 2), (0, 1), last_use_ns=NOW_NS - HOUR_NS, uses=1)
                   for i in range(4))
    instances = tuple(FakeInstance(i, free_memory_bytes=0, models_ready=(0, 1, 2, 3), oldest_use_ns=NOW_NS - HOUR_NS)
                      for i in range(2))
    policy = placing()
    policy.rearrange(FakeEndpoint(models, instances), NOW_NS - 10 * NS_PER_S)
    assert policy.rearrange(FakeEndpoint(models, instances), NOW_NS) == [Prewarm(1, 0, load=False)]


def test_what_cannot_be_is_refused() -> None:
    for values in ({"reading": "guessed"}, {"copy_rpm": 0}, {"period": "0s"}):
        with pytest.raises(PolicyError):
            resolve("placement", "modelmesh", values, Path())
