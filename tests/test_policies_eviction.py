"""Eviction policies: hand-worked transcripts of their states and victims, what they tell, and the conformance kit.

Models are A, B, C …, all of one size unless a case says otherwise; request k comes at k seconds. `victims` names who
left, in order. The tables in the docstrings were worked by hand from the papers' rules.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from policy_cache import PolicyCache, S, cache_run, made

from mmesim.core.policy import REFUSE
from mmesim.core.types import NEVER_NS
from mmesim.policies.registry import PolicyError, find, resolve
from mmesim.testing import check_policy
from mmesim.testing.views import candidate, candidates

HERE = Path(__file__).parent
VARIANTS: list[tuple[str, dict[str, object]]] = [
    ("gdsf", {"frequency": "count", "cost": "aggregate_delay"}), ("gdsf", {"cost": "uniform"}),
    ("s3fifo", {"threshold": 1, "fill_main": True}), ("lru_k", {"correlated": "60s"}),
    ("pinning", {"models": ["model-1*"], "around": "sieve"}), ("min_residency", {"min": "1h", "around": "s3fifo"}),
    ("churn_guard", {"min_age": "2h", "around": {"use": "pinning", "around": "belady"}})]


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_variants_conform(name: str, params: dict[str, object]) -> None:
    """The defaults of all are examined with every other policy; these are those with parameters."""
    report = check_policy(find("eviction", name, HERE), "eviction", params)
    assert report.ok, report


def asked(letters: str) -> list[int]:
    return ["ABCDEFGHIJ".index(letter) for letter in letters.split()]


def left(name: str, letters: str, capacity: int, sizes: list[int] | None = None, reload_s: list[float] | None = None,
         **params: object) -> str:
    """Who left, in order."""
    run = cache_run(name, asked(letters), capacity, sizes, reload_s, **params)
    return "".join("ABCDEFGHIJ"[model] for model in run.victims)


def test_lru_by_hand() -> None:
    """A B C A D B E on three places: A is touched, so B leaves for D, then C for B, then A (4) for E."""
    assert left("lru", "A B C A D B E", 3) == "BCA"


def test_fifo_by_hand() -> None:
    """The same: the touch counts for nothing. A leaves for D, B is still here, B for E."""
    assert left("fifo", "A B C A D B E", 3) == "AB"


def test_lfu_by_hand() -> None:
    """A A B C: D finds A2 B1 C1, B was touched first. B D: A2 C1 D1 -> C. E: A2 D1 B1 -> D."""
    assert left("lfu", "A A B C D B E", 3) == "BCD"


def test_lfu_da_by_hand() -> None:
    """Key = L + count, two places. A is an old favourite with count 3.

    | request | keys | leaves | L |
    |---|---|---|---|
    | A A A B | A 3, B 1 | | 0 |
    | C | A 3, C 1+1 = 2 | B (1) | 1 |
    | D | A 3, D 2+1 = 3 | C (2) | 2 |
    | E | D 3, E 3+1 = 4 | A (3, touched before D) | 3 |
    | D | D 3+2 = 5, E 4 | | 3 |
    | F | D 5, F 4+1 = 5 | E (4) | 4 |
    """
    assert left("lfu_da", "A A A B C D E D F", 2) == "BCAE"
    assert left("lfu", "A A A B C D E D F", 2) == "BCDED"


def test_lru_k_by_hand() -> None:
    """K = 2, three places; (use before the last, last), - is unknown and counts as oldest.

    | request | history before the choice | leaves |
    |---|---|---|
    | A B A C (1 to 4) | | |
    | D (5) | A (1,3) B (-,2) C (-,4) | B |
    | B (6) | A (1,3) C (-,4) D (-,5) | C |
    | E (7) | A (1,3) B (2,6) D (-,5) | D: B's history was kept |
    | F (8) | A (1,3) B (2,6) E (-,7) | E |
    | G (9) | A (1,3) B (2,6) F (-,8) | F |
    """
    assert left("lru_k", "A B A C D B E F G", 3) == "BCDEF"


def test_lru_k_counts_a_session_once() -> None:
    """0 was used at 50 s and 52 s, 1 at 1 s and 20 s. Plain: the uses before the last are 50 and 1, so 1 leaves first.
    With a correlated period of 5 s the two uses of 0 are one, the one before it is unknown, and 0 leaves first."""
    rows = [candidate(0, since_ns=50 * S, last_use_ns=52 * S, uses=2),
            candidate(1, since_ns=S, last_use_ns=20 * S, uses=2)]
    plain, sessions = made("lru_k"), made("lru_k", {"correlated": "5s"})
    assert [one.model for one in plain.victims(candidates(rows), 1, 100 * S)] == [1, 0]
    assert [one.model for one in sessions.victims(candidates(rows), 1, 100 * S)] == [0, 1]
    assert [one.model for one in sessions.victims(candidates(rows), 1, 56 * S)] == [1, 0]    # 0 is in its session


def test_gdsf_by_hand() -> None:
    """Key = L + count · cost / size (per MB), 3 MB: sizes A 1, B 2, C 1, D 1; loads A 1 s, B 4 s, C 3 s, D 1 s.

    | request | keys | leaves | L |
    |---|---|---|---|
    | A B | A 1, B 2 | | 0 |
    | C | B 2, C 1+3 = 4 | A (1) | 1 |
    | A | C 4, A 2+1 = 3 | B (2): 2 MB free, A takes 1 | 2 |
    | D | C 4, A 3, D 2+1 = 3 | none: there is room | 2 |
    | B (2 MB) | C 4 | A (3, touched before D), D (3) | 3 |
    """
    mb = 10**6
    assert left("gdsf", "A B C A D B", 3 * mb, [mb, 2 * mb, mb, mb], [1, 4, 3, 1], frequency="count") == "ABAD"


def test_gdsf_costs_and_frequencies() -> None:
    """Small against large, quick against slow to load, popular against not: each term alone decides."""
    def first(rows: list, **params: object) -> int:
        policy = made("gdsf", params)
        return next(iter(policy.victims(candidates(rows), 1, S))).model

    assert first([candidate(0, 100, rate_rps=1), candidate(1, 200, rate_rps=1)]) == 1
    assert first([candidate(0, 100, rate_rps=1, reload_s=9), candidate(1, 100, rate_rps=1, reload_s=8)]) == 1
    slow = [candidate(0, 100, uses=3, reload_s=9), candidate(1, 100, uses=4, reload_s=1)]
    assert first(slow, frequency="count") == 1
    assert first(slow, frequency="count", cost="uniform") == 0
    waiting = [candidate(0, 100, rate_rps=0.1, reload_s=40), candidate(1, 100, rate_rps=1.0, reload_s=3)]
    assert first(waiting) == 1
    assert first([candidate(0, 100, rate_rps=0.1, reload_s=40), candidate(1, 100, rate_rps=1.0, reload_s=5)],
                 cost="reload") == 0


def test_aggregate_delay_weighs_those_who_wait_together() -> None:
    """Rate · D · (1 + rate·D/2): 0.1·38·2.9 = 11.02 against 1·4·3 = 12, though plain 3.8 < 4; and reversed at 3.5:
    3.5·2.75 = 9.6 < 11.02 and 3.5 < 3.8."""
    policy = made("gdsf", {"cost": "aggregate_delay"})
    rows = [candidate(0, 10**6, rate_rps=0.1, reload_s=38), candidate(1, 10**6, rate_rps=1.0, reload_s=4)]
    offered = candidates(rows)
    assert [one.model for one in policy.victims(offered, 1, S)] == [0, 1]
    assert offered.told["key"].tolist() == pytest.approx([11.02, 12.0])


def test_sieve_by_hand() -> None:
    """Four places, oldest first, * visited, > the hand.

    | request | list before | what the hand does | leaves |
    |---|---|---|---|
    | A B C D A B | A* B* C D | | |
    | E | >A* B* C D | clears A and B | C |
    | F | A B >D E | | D |
    | A F | A* B >E F* | | |
    | G | A* B >E F* | | E |
    | H | A* B >F* G | clears F | G, the newest: the hand starts over |
    | I | >A* B F H | clears A | B |
    | J | A >F H I | | F |
    """
    assert left("sieve", "A B C D A B E F A F G H I J", 4) == "CDEGBF"


def test_sieve_keeps_its_hand_over_busy_and_removed_models() -> None:
    """A is busy when room is needed: it is passed over with its place and its bit; a removed model is not missed."""
    policy = made("sieve")
    for model in range(4):
        policy.loaded(0, model, model)

    def ask(*uses: int) -> list[int]:
        rows = [candidate(model, uses=count) for model, count in enumerate(uses) if count]
        first = next(iter(policy.victims(candidates(rows), 1, 9)))
        policy.removed(0, first.model, 9)
        return [first.model]

    assert ask(0, 1, 1, 1) == [1]       # 0 is busy
    policy.removed(0, 2, 9)             # gone for another reason
    assert ask(5, 0, 0, 2) == [3]       # the hand clears 3, starts over, clears 0, and is at 3 again
    policy.loaded(1, 0, 9)
    assert next(iter(policy.victims(candidates([candidate(0, instance=1)], 1), 1, 9))).model == 0


def test_s3fifo_by_hand() -> None:
    """Three places: a small queue of one (the largest model), a main one of two, a ghost of two (2.7 bytes). Uses in
    digits, oldest first.

    | request | small | main | what happens | leaves | ghost |
    |---|---|---|---|---|---|
    | A B C A A | A2 B C | | | | |
    | D | C D | A | A has 2 uses and moves on | B | B |
    | B | D | A B | B was remembered and joins main | C | C |
    | E | E | A B | | D | C D |
    | A | E | A1 B | | | C D |
    | C | | A1 B C | C was remembered | E | D E |
    | D | | C A D | main holds 3, more than its 2: A goes round | B | E |
    """
    assert left("s3fifo", "A B C A A D B E A", 3) == "BCD"
    run = cache_run("s3fifo", asked("A B C A A D B E A C"), 3)
    assert ["ABCDEFGHIJ"[model] for model in run.resident] == ["A", "B", "C"]
    assert "".join("ABCDEFGHIJ"[model] for model in run.victims) == "BCDE"
    run.request(3, 11 * S)    # main holds A, B, C, more than its two: A1 goes round, B leaves
    assert run.victims[-1] == 1


def test_belady_by_hand() -> None:
    """A B C A B D A B C on three places: for D (6) the next uses are A 7, B 8, C 9: C leaves; for C (9) nothing comes
    again, and the lowest number leaves."""
    assert left("belady", "A B C A B D A B C", 3) == "CA"


def test_belady_size_by_hand() -> None:
    """A (1 byte) is asked for at 8, B (3 bytes) at 6; at 4 that is 1·4 against 3·2: B leaves.
    What never comes again goes first."""
    assert left("belady_size", "A B C D A B A A", 5, [1, 3, 1, 1]) == "C"
    future = [0, 1, 2, 0, 0, 1, 0, 0]
    policy = made("belady_size", requests=future)
    offered = candidates([candidate(0, 1), candidate(1, 3)])
    assert [one.model for one in policy.victims(offered, 1, 4 * S)] == [1, 0]


def test_random_is_even_and_repeats_with_its_seed() -> None:
    offered = candidates([candidate(model) for model in range(4)])
    policy = made("random", seed=3)
    firsts = np.array([next(iter(policy.victims(offered, 1, S))).model for _ in range(4000)])
    counts = np.bincount(firsts, minlength=4)
    assert ((counts - 1000) ** 2 / 1000).sum() < 16.27    # chi-squared, 3 degrees of freedom, 99.9 %
    again = made("random", seed=3)
    assert [next(iter(again.victims(offered, 1, S))).model for _ in range(50)] == firsts[:50].tolist()


def test_ttl_expires_and_falls_back_to_lru() -> None:
    policy = made("ttl", {"keep_alive": "90s"})
    assert policy.expires_ns(0, 1, 5 * S) == 95 * S
    assert made("lru").expires_ns(0, 1, 5 * S) == NEVER_NS
    assert left("ttl", "A B C A D B E", 3) == left("lru", "A B C A D B E", 3)


ROWS = [candidate(0, last_use_ns=10 * S, since_ns=1 * S), candidate(1, last_use_ns=20 * S, since_ns=15 * S),
        candidate(2, last_use_ns=30 * S, since_ns=28 * S)]


def test_never_refuses() -> None:
    policy = made("never")
    assert list(policy.victims(candidates(ROWS), 1, 40 * S)) == []
    assert policy.when_short(candidates(ROWS), 40 * S) == REFUSE


def test_pinning_hides_models_from_the_policy_inside() -> None:
    policy = made("pinning", {"models": ["model-1", "*-9"], "around": "lfu"})
    offered = candidates(ROWS)
    assert [one.model for one in policy.victims(offered, 1, 40 * S)] == [0, 2]
    assert offered.told["held"].tolist() == [False, True, False]
    assert policy.when_short(offered, 40 * S) == NEVER_NS
    keeps = made("pinning", {"models": ["model-1"], "around": {"use": "ttl", "keep_alive": "1s"}})
    assert next(iter(keeps.victims(candidates(ROWS), 1, 40 * S))).model == 0
    assert (keeps.expires_ns(0, 1, S), keeps.expires_ns(0, 0, S)) == (NEVER_NS, 2 * S)


def test_min_residency_says_when_the_next_is_free() -> None:
    policy = made("min_residency", {"min": "20s"})
    assert [one.model for one in policy.victims(candidates(ROWS), 1, 30 * S)] == [0]
    assert policy.when_short(candidates(ROWS), 30 * S) == 35 * S
    assert [one.model for one in policy.victims(candidates(ROWS), 1, 35 * S)] == [0, 1]
    assert made("min_residency", {"around": "never"}).when_short(candidates(ROWS), 2**40) == REFUSE


def test_churn_guard_refuses_while_the_oldest_is_young() -> None:
    policy = made("churn_guard", {"min_age": "25s", "around": "fifo"})
    assert list(policy.victims(candidates(ROWS), 1, 34 * S)) == []
    assert policy.when_short(candidates(ROWS), 34 * S) == REFUSE
    assert [one.model for one in policy.victims(candidates(ROWS), 1, 35 * S)] == [0, 1, 2]
    assert policy.when_short(candidates(ROWS), 35 * S) == NEVER_NS


def test_a_guard_leaves_the_inner_policys_list_as_it_is() -> None:
    """SIEVE inside: a pinned model keeps place and bit, exactly as a busy one does."""
    pinned = made("pinning", {"models": ["0"], "around": "sieve"})
    run = PolicyCache(pinned, [1] * 10, 3).run(asked("A B C D E F"))
    assert run.victims == [1, 2, 3]
    assert 0 in run.resident


@pytest.mark.parametrize(("name", "params", "about"), [
    ("ttl", {"keep_alive": "0s"}, "keep_alive"), ("s3fifo", {"small_fraction": 1.0}, "small_fraction"),
    ("s3fifo", {"threshold": 4}, "threshold"), ("lru_k", {"retained": "-1s"}, "retained"),
    ("gdsf", {"cost": "much"}, "cost"), ("churn_guard", {"around": "first_fit"}, "around.use")])
def test_wrong_parameters_are_told_by_name(name: str, params: dict[str, object], about: str) -> None:
    with pytest.raises(PolicyError) as caught:
        resolve("eviction", name, params, HERE)
    assert caught.value.param == about
