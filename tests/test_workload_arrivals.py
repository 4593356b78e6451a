"""Generated workloads: rates, burstiness, popularity, sessions, surges, and that each has its own random numbers.

Statistical bounds are four standard errors, given beside each; seeds are fixed.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mmesim.core.distribution import Distribution
from mmesim.core.streams import stream
from mmesim.errors import InputError
from mmesim.units import NS_PER_S, ns
from mmesim.workload.analysis.description import describe
from mmesim.workload.analysis.measures import zipf_mle
from mmesim.workload.analysis.recorded import collected
from mmesim.workload.build import build_arrivals
from mmesim.workload.popularity import Alias
from mmesim.workload.stats import expected_rates
from mmesim.workload.types import (
    CHUNK,
    WORK_ONE,
    Arrivals,
    ArrivalSource,
    ArrivalSpec,
    PopularitySpec,
    SurgeSpec,
    WorkloadModel,
    WorkloadSpec,
)

POISSON = WorkloadSpec(ArrivalSpec("poisson", 50.0), popularity=PopularitySpec("zipf", s=1.0))
MODELS = [WorkloadModel(f"{kind}-{i}") for kind in ("bert", "resnet") for i in range(10)]
HOUR_NS = 3600 * NS_PER_S
KINDS = {
    "poisson": ArrivalSpec("poisson", 50.0),
    "gamma": ArrivalSpec("gamma", 50.0, cv=3.0),
    "mmpp": ArrivalSpec("mmpp", rates_rps=(10.0, 200.0, 0.0), mean_sojourn_s=(30.0, 5.0, 2.0)),
    "profile": ArrivalSpec("profile", 50.0, shape=((0.0, 0.4), (600.0, 1.6)), period_s=1200.0),
    "diurnal": ArrivalSpec("diurnal", 50.0, peak_to_trough=3.0, peak_at_s=1800.0),
}


def everything(source: ArrivalSource) -> Arrivals:
    chunks = []
    while (chunk := source.next_chunk()) is not None:
        assert 0 < len(chunk) <= CHUNK
        chunks.append(chunk)
    assert source.next_chunk() is None
    return Arrivals(*(np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in Arrivals.__slots__))


def generated(spec: WorkloadSpec, duration_ns: int = HOUR_NS, seed: int = 1, **options: object) -> Arrivals:
    models = options.pop("models", MODELS)
    return everything(build_arrivals(spec, models, seed, duration_ns, **options))  # type: ignore[arg-type]


def equal(one: Arrivals, other: Arrivals) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in Arrivals.__slots__)


# ---- rules that hold for every kind


@pytest.mark.parametrize("kind", KINDS)
def test_requests_are_in_order_inside_the_run_and_typed(kind: str) -> None:
    requests = generated(replace(POISSON, arrivals=KINDS[kind], items=3))
    assert (np.diff(requests.t_ns) >= 0).all() and requests.t_ns[0] >= 0 and requests.t_ns[-1] < HOUR_NS
    assert [getattr(requests, name).dtype for name in Arrivals.__slots__] == [np.int64, np.int32, np.int32, np.int64]
    assert (requests.items == 3).all() and (requests.work_q16 == WORK_ONE).all()
    assert requests.model.min() >= 0 and requests.model.max() < len(MODELS)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_requests_whatever_the_chunks_and_the_duration(kind: str) -> None:
    spec = replace(POISSON, arrivals=KINDS[kind], session_repeat=0.4)
    whole = generated(spec)
    assert equal(whole, generated(spec, chunk=1000))
    longer = generated(spec, 2 * HOUR_NS)
    inside = longer[longer.t_ns < whole.t_ns[-1]]
    assert np.array_equal(inside.model, whole.model[:len(inside)])
    # the cumulative rate of a longer path is summed in the same order: times agree to the ns
    assert np.abs(inside.t_ns - whole.t_ns[:len(inside)]).max() <= 1
    assert not np.array_equal(whole.t_ns[:100], generated(spec, seed=2).t_ns[:100])


def test_each_setting_moves_only_what_it_is_about() -> None:
    base = generated(POISSON)
    popular = generated(replace(POISSON, popularity=PopularitySpec("uniform")))
    sessions = generated(replace(POISSON, session_repeat=0.5))
    lognormal = [replace(model, service_law=Distribution("lognormal", cv=1.0)) for model in MODELS]
    worked = generated(POISSON, models=lognormal)
    for other in (popular, sessions, worked):
        assert np.array_equal(base.t_ns, other.t_ns)
    assert np.array_equal(base.model, worked.model) and not np.array_equal(base.work_q16, worked.work_q16)
    fresh = base.model == sessions.model
    assert fresh.mean() > 0.5  # drawn anew: the very same draws
    gamma = generated(replace(POISSON, arrivals=KINDS["gamma"]))
    n = min(len(gamma), len(base))
    assert np.array_equal(base.model[:n], gamma.model[:n])


# ---- arrival processes


def figures_of(spec: WorkloadSpec, seed: int, duration_ns: int) -> dict[str, float]:
    source = build_arrivals(spec, MODELS, seed, duration_ns)
    return describe(collected(source, [model.name for model in MODELS], duration_ns)).as_json()


def test_poisson_rate_and_gaps() -> None:
    figures = figures_of(POISSON, 1, 4 * HOUR_NS)
    n = 50 * 4 * 3600
    assert figures["requests"] == pytest.approx(n, abs=4 * math.sqrt(n))
    assert figures["cv_of_gaps"] == pytest.approx(1, abs=4 * math.sqrt(2 / n))  # (kurtosis 9 - 1) / 4 = 2
    assert figures["idc_per_minute"] == pytest.approx(1, abs=4 * math.sqrt(2 / 240))
    assert figures["mean_rate_rps"] == pytest.approx(50, rel=4 / math.sqrt(n))


@pytest.mark.parametrize("cv", [0.0, 0.5, 3.0])
def test_gamma_gaps_have_the_cv_asked_for(cv: float) -> None:
    spec = replace(POISSON, arrivals=ArrivalSpec("gamma", 50.0, cv=cv))
    figures = figures_of(spec, 1, 4 * HOUR_NS)
    n = 50 * 4 * 3600
    assert figures["requests"] == pytest.approx(n, abs=4 * cv * math.sqrt(n) + 1)
    kurtosis = 3 + 6 * cv**2
    assert figures["cv_of_gaps"] == pytest.approx(cv, abs=4 * cv * math.sqrt((kurtosis - 1) / 4 / n) + 1e-6)


def test_mmpp_rate_and_index_of_dispersion() -> None:
    """Two states, leaving rates q1, q2: IDC(t) = 1 + 2 v (1 - (1 - e^-qt) / qt) / (m q), q = q1 + q2.

    v and m are variance and mean of the rate (Fischer and Meier-Hellstern 1993). Standard error over 480 minutes
    correlated over about 1 / q = 24 s: the variance of 480 near-independent normal counts, sqrt(2 / 480).
    """
    spec = replace(POISSON, arrivals=ArrivalSpec("mmpp", rates_rps=(20.0, 100.0), mean_sojourn_s=(60.0, 40.0)))
    figures = figures_of(spec, 3, 8 * HOUR_NS)
    q, mean = 1 / 60 + 1 / 40, 0.6 * 20 + 0.4 * 100
    variance = 0.6 * 0.4 * 80**2
    dispersion = 1 + 2 * variance * (1 - (1 - math.exp(-60 * q)) / (60 * q)) / (mean * q)
    rate_error = math.sqrt(2 * variance / q / (8 * 3600))
    assert figures["mean_rate_rps"] == pytest.approx(mean, abs=4 * rate_error)
    assert figures["idc_per_minute"] == pytest.approx(dispersion, rel=4 * math.sqrt(2 / 480))


def counts_in(requests: Arrivals, edges_s: list[float]) -> np.ndarray:
    return np.histogram(requests.t_ns / 1e9, edges_s)[0]


def test_profile_follows_its_shape_exactly() -> None:
    """0.4 at 0, 1.6 at 10 min, 0.4 at 20 min …: each 5 min carries 0.7 or 1.3 times the rate; 4 Poisson errors."""
    requests = generated(replace(POISSON, arrivals=KINDS["profile"]))
    counts = counts_in(requests, [300.0 * k for k in range(13)])
    expected = np.array([0.7, 1.3, 1.3, 0.7] * 3) * 50 * 300
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()
    assert len(requests) == pytest.approx(expected.sum(), abs=4 * math.sqrt(expected.sum()))


def test_a_profile_may_jump_and_may_end() -> None:
    shape = ((0.0, 1.0), (600.0, 1.0), (600.0, 3.0), (1200.0, 3.0))
    requests = generated(replace(POISSON, arrivals=ArrivalSpec("profile", 50.0, shape=shape)))
    counts = counts_in(requests, [0.0, 600.0, 1200.0, 3600.0])
    expected = np.array([600, 1800, 7200]) * 50
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()


def test_diurnal_peaks_when_it_should() -> None:
    spec = replace(POISSON, arrivals=ArrivalSpec("diurnal", 10.0, peak_to_trough=3.0, peak_at_s=15 * 3600.0))
    requests = generated(spec, 24 * HOUR_NS)
    counts = counts_in(requests, [3600.0 * k for k in range(25)])
    swing = 0.5 * 24 / math.pi * math.sin(math.pi / 24)  # averaged over an hour: amplitude times sinc
    expected = 36_000 * (1 + swing * np.cos(2 * np.pi * (np.arange(24) + 0.5 - 15) / 24))
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()


def test_minute_counts_are_kept_to_the_request(tmp_path: Path) -> None:
    file = tmp_path / "counts.csv"
    file.write_text("minute,count\n0,100\n2,7\n3,50\n")
    spec = replace(POISSON, arrivals=ArrivalSpec("minute_counts", file=file))
    assert counts_in(generated(spec), [0, 60, 120, 180, 240, 3600]).tolist() == [100, 0, 7, 50, 0]
    assert expected_rates(spec, MODELS, 1, HOUR_NS).sum() == pytest.approx(157 / 3600)


def test_no_arrivals() -> None:
    assert build_arrivals(WorkloadSpec(), MODELS, 1, HOUR_NS).next_chunk() is None


# ---- popularity


def test_alias_draws_its_shares_and_never_what_has_none() -> None:
    shares = np.array([0.5, 0.0, 0.3, 0.2, 0.0])
    counts = np.bincount(Alias(shares).pick(stream(1, "x").random(100_000)), minlength=5)
    assert counts[1] == counts[4] == 0
    error = np.sqrt(100_000 * shares * (1 - shares))
    assert (np.abs(counts - 100_000 * shares) <= 4 * error).all()


def test_zipf_shares_shuffled_and_weighted_by_group() -> None:
    models = [replace(model, group_weight=3.0 if model.name.startswith("bert") else 1.0) for model in MODELS]
    ordered = expected_rates(replace(POISSON, popularity=PopularitySpec("zipf", s=1.5, shuffle=False)), models, 1,
                             HOUR_NS)
    weights = np.arange(1.0, 21.0) ** -1.5 * np.repeat([3.0, 1.0], 10)
    assert ordered == pytest.approx(50 * weights / weights.sum())
    shuffled = expected_rates(replace(POISSON, popularity=PopularitySpec("zipf", s=1.5)), MODELS, 1, HOUR_NS)
    plain = np.arange(1.0, 21.0) ** -1.5
    assert np.sort(shuffled)[::-1] == pytest.approx(50 * plain / plain.sum())
    assert not np.array_equal(np.argsort(-shuffled), np.arange(20))


def test_requests_follow_the_expected_rates() -> None:
    requests = generated(POISSON)
    counts = np.bincount(requests.model, minlength=len(MODELS))
    expected = expected_rates(POISSON, MODELS, 1, HOUR_NS) * 3600
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()


def test_zipf_exponent_is_found_again() -> None:
    """s of 2000 ranks from n draws: standard error 1 / sqrt(n Var(log rank))."""
    n, s, log_rank = 200_000, 0.9, np.log(np.arange(1, 2001))
    shares = np.exp(-s * log_rank) / np.exp(-s * log_rank).sum()
    counts = np.bincount(Alias(shares).pick(stream(1, "x").random(n)))
    spread = math.sqrt(shares @ log_rank**2 - (shares @ log_rank) ** 2)
    assert zipf_mle(counts) == pytest.approx(s, abs=4 / spread / math.sqrt(n))


def test_explicit_weights_and_an_unknown_name() -> None:
    spec = replace(POISSON, popularity=PopularitySpec("explicit", weights={"bert-1": 3.0, "resnet-2": 1.0}))
    rates = expected_rates(spec, MODELS, 1, HOUR_NS)
    assert rates[[1, 12]].tolist() == pytest.approx([37.5, 12.5]) and np.count_nonzero(rates) == 2
    wrong = replace(POISSON, popularity=PopularitySpec("explicit", weights={"brt-1": 3.0}))
    with pytest.raises(InputError, match=r"'brt-1' is not a model.*\n.*did you mean 'bert-1'"):
        build_arrivals(wrong, MODELS, 1, HOUR_NS)


def test_drift_swaps_some_ranks_at_a_time() -> None:
    spec = replace(POISSON, popularity=PopularitySpec("drifting", s=1.0, every_s=600.0, swap=0.2))
    rates = [expected_rates(spec, MODELS, 1, ns(600.0 * k)) * k for k in range(1, 7)]
    periods = np.diff(rates, axis=0, prepend=np.zeros((1, 20)))
    for before, after in pairwise(periods):
        assert np.sort(after) == pytest.approx(np.sort(before))
        assert (~np.isclose(before, after)).sum() == 4
    requests = generated(spec)
    counts = np.bincount(requests.model, minlength=20)
    assert (np.abs(counts - rates[-1] * 600) < 4 * np.sqrt(rates[-1] * 600)).all()


def test_models_that_come_and_go_get_requests_only_while_they_are_there() -> None:
    models = [WorkloadModel("a"), WorkloadModel("b", available_from_ns=ns(600)),
              WorkloadModel("c", available_until_ns=ns(1200))]
    spec = replace(POISSON, popularity=PopularitySpec("uniform"), session_repeat=0.5)
    requests = generated(spec, models=models)
    times = [requests.t_ns[requests.model == index] / 1e9 for index in range(3)]
    assert times[1].min() >= 600 and times[2].max() < 1200
    expected = expected_rates(spec, models, 1, HOUR_NS) * 3600
    present_s = np.array([600 / 2 + 600 / 3 + 2400 / 2, 600 / 3 + 2400 / 2, 600 / 2 + 600 / 3])
    assert expected == pytest.approx(present_s * 50)
    # sessions of mean length 2 make counts vary (1 + 0.5) / (1 - 0.5) = 3 times as much
    assert (np.abs([len(t) for t in times] - expected) < 4 * np.sqrt(3 * expected)).all()


def test_nobody_asks_while_there_is_no_model() -> None:
    models = [WorkloadModel("a", available_from_ns=ns(600), available_until_ns=ns(900))]
    requests = generated(POISSON, models=models)
    assert requests.t_ns[0] >= ns(600) and requests.t_ns[-1] < ns(900)
    assert len(requests) == pytest.approx(15_000, abs=4 * math.sqrt(15_000))


# ---- sessions and work


def test_sessions_repeat_and_leave_popularity_alone() -> None:
    """P(same again) = r + (1 - r) sum p^2; counts vary (1 + r) / (1 - r) times as much as independent draws."""
    repeat = 0.6
    spec = replace(POISSON, session_repeat=repeat)
    requests = generated(spec, 4 * HOUR_NS)
    shares = expected_rates(spec, MODELS, 1, HOUR_NS) / 50
    again = (np.diff(requests.model) == 0).mean()
    expected = repeat + (1 - repeat) * (shares**2).sum()
    assert again == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / len(requests)))
    counts = np.bincount(requests.model, minlength=20)
    variance = len(requests) * shares * (1 - shares) * (1 + repeat) / (1 - repeat)
    assert (np.abs(counts - len(requests) * shares) < 4 * np.sqrt(variance)).all()


def test_work_has_each_models_law() -> None:
    laws = [Distribution(), Distribution("exponential"), Distribution("lognormal", cv=0.5),
            Distribution("hyperexponential", cv=2.0)]
    models = [WorkloadModel(f"m{i}", service_law=law) for i, law in enumerate(laws)]
    spec = replace(POISSON, popularity=PopularitySpec("uniform"))
    requests = generated(spec, 4 * HOUR_NS, models=models)
    assert equal(requests, generated(spec, 4 * HOUR_NS, models=models, chunk=997))
    for index, law in enumerate(laws):
        work = requests.work_q16[requests.model == index] / WORK_ONE
        assert law.cv is not None
        assert work.mean() == pytest.approx(1, abs=4 * law.cv / math.sqrt(len(work)) + 1e-12)
        assert work.std() == pytest.approx(law.cv, abs=0.02 * law.cv)  # 180,000 draws: 0.5 % (H2), else less
    assert requests.work_q16.min() >= 1


# ---- surges

SURGE = SurgeSpec(at_s=1200.0, for_s=300.0, factor=8.0, models="bert-*")


def test_a_surge_adds_requests_for_its_models_and_moves_no_other() -> None:
    calm, surged = generated(POISSON), generated(replace(POISSON, surges=(SURGE,)))
    rows = {(t, m) for t, m in zip(calm.t_ns.tolist(), calm.model.tolist(), strict=True)}
    added = np.array([(t, m) not in rows for t, m in zip(surged.t_ns.tolist(), surged.model.tolist(), strict=True)])
    assert equal(surged[~added], calm)
    extra = surged[added]
    assert extra.t_ns[0] >= ns(1200) and extra.t_ns[-1] < ns(1500) and extra.model.max() < 10
    share = expected_rates(POISSON, MODELS, 1, HOUR_NS)[:10]
    expected = 7 * 300 * share
    counts = np.bincount(extra.model, minlength=10)
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()
    total = expected_rates(replace(POISSON, surges=(SURGE,)), MODELS, 1, HOUR_NS)
    assert total[:10] * 3600 == pytest.approx(share * 3600 + expected)
    assert total[10:] == pytest.approx(expected_rates(POISSON, MODELS, 1, HOUR_NS)[10:])


def test_a_surge_follows_the_rate_and_the_models_of_the_moment() -> None:
    """Rate 0.7 and 1.3 of 50/s in two halves of the surge; a model that comes only then takes part from then on."""
    models = [WorkloadModel("a"), WorkloadModel("b", available_from_ns=ns(300))]
    spec = WorkloadSpec(KINDS["profile"], surges=(SurgeSpec(0.0, 600.0, 3.0, "b"),))
    requests = generated(spec, models=models)
    b_s = requests.t_ns[requests.model == 1] / 1e9
    first, second = ((b_s < 300).sum(), ((b_s >= 300) & (b_s < 600)).sum())
    expected = 1.3 * 50 * 300 / 2 * 3  # half of the requests, three times
    assert first == 0 and second == pytest.approx(expected, abs=4 * math.sqrt(expected))


def test_a_surge_on_counts_and_one_that_comes_too_late(tmp_path: Path) -> None:
    """600 requests in each of three minutes; three times as many in the second: a Poisson number more."""
    file = tmp_path / "counts.csv"
    file.write_text("minute,count\n0,600\n1,600\n2,600\n")
    surges = (SurgeSpec(60.0, 60.0, 3.0), SurgeSpec(4000.0, 60.0, 3.0))
    spec = replace(POISSON, arrivals=ArrivalSpec("minute_counts", file=file), surges=surges)
    counts = counts_in(generated(spec), [0, 60, 120, 180, 3600])
    assert counts[[0, 2, 3]].tolist() == [600, 600, 0]
    assert counts[1] == pytest.approx(1800, abs=4 * math.sqrt(1200))
    assert expected_rates(spec, MODELS, 1, HOUR_NS).sum() * 3600 == pytest.approx(3000)


def test_a_surge_that_cannot_be_served_is_refused() -> None:
    nobody = replace(POISSON, surges=(replace(SURGE, models="brt-*"), replace(SURGE, factor=0.5)))
    with pytest.raises(InputError) as caught:
        build_arrivals(nobody, MODELS, 1, HOUR_NS)
    assert [problem.path for problem in caught.value.problems] == [
        "workload.surges[0].models", "workload.surges[1].factor"]
    with pytest.raises(InputError, match="there is none"):
        build_arrivals(WorkloadSpec(surges=(SURGE,)), MODELS, 1, HOUR_NS)
