"""Synthetic workloads: what generated a trace is found again, and a real trace is met, also where it was not seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from program import mmesim

from mmesim.errors import InputError
from mmesim.scenario.load import load_scenario
from mmesim.scenario.workload_spec import workload_spec
from mmesim.units import ns
from mmesim.workload.analysis.arrivals_fit import fit_arrivals
from mmesim.workload.analysis.fit import Fit, fit
from mmesim.workload.analysis.measures import idc, per_interval
from mmesim.workload.analysis.recorded import Recorded, collected, read_trace
from mmesim.workload.analysis.sessions_fit import curve_of, fit_sessions, sequence
from mmesim.workload.analysis.written import fragment
from mmesim.workload.build import build_arrivals
from mmesim.workload.types import ArrivalSpec, PopularitySpec, WorkloadModel, WorkloadSpec

MODELS = [WorkloadModel(f"m{k:02}") for k in range(30)]
ZIPF = PopularitySpec("zipf", s=1.0, shuffle=False)
MINUTE_NS = ns(60)


def made(arrivals: ArrivalSpec, hours: float, repeat: float = 0.0, reach: float = 1.0, seed: int = 5) -> Recorded:
    spec = WorkloadSpec(arrivals, popularity=ZIPF, session_repeat=repeat, session_reach=reach)
    return collected(build_arrivals(spec, MODELS, seed, ns(3600 * hours)), [model.name for model in MODELS],
                     ns(3600 * hours))


# ---- sessions that mix, as the workload makes them


def shares(n: int = 30) -> np.ndarray:
    weight = np.arange(1.0, n + 1) ** -1.0
    return weight / weight.sum()


def test_mixing_sessions_leave_popularity_alone() -> None:
    """Of a DAR process the marginal is the popularity; its counts vary (1 + r) / (1 - r) times as much at most."""
    n, repeat = 400_000, 0.6
    counts = np.bincount(sequence(shares(), repeat, 8.0, n, 1), minlength=30)
    error = np.sqrt(shares() * (1 - shares()) * n * (1 + repeat) / (1 - repeat))
    assert (np.abs(counts - n * shares()) < 4 * error).all()


def test_correlation_of_mixing_sessions_is_that_of_theory() -> None:
    """c(k) = r·Σ φ(j)·c(|k - j|), φ geometric: P(same model k later) = p² + c(k)·(1 - p²), p² the sum of squares."""
    repeat, reach, n = 0.5, 4.0, 600_000
    lags = np.arange(1, 200)
    law = (1 - 1 / reach) ** (lags - 1) / reach
    correlation = np.zeros(200)
    correlation[0] = 1.0
    for _ in range(300):
        correlation[1:] = [repeat * law @ correlation[np.abs(k - lags)] for k in range(1, 200)]
    model = sequence(shares(), repeat, reach, n, 2)
    squares = shares() @ shares()
    for k in (1, 2, 5, 10):
        expected = squares + correlation[k] * (1 - squares)
        assert (model[k:] == model[:-k]).mean() == pytest.approx(expected, abs=0.006)


def test_reach_one_is_the_request_before_and_chunks_change_nothing() -> None:
    spec = WorkloadSpec(ArrivalSpec("poisson", 20.0), popularity=ZIPF, session_repeat=0.7, session_reach=6.0)
    whole, pieces = (collected(build_arrivals(spec, MODELS, 1, ns(3600), chunk), [], ns(3600)).model
                     for chunk in (131_072, 97))
    assert np.array_equal(whole, pieces)
    model = sequence(shares(), 0.4, 1.0, 200_000, 3)
    squares = shares() @ shares()
    assert (model[1:] == model[:-1]).mean() == pytest.approx(0.4 + 0.6 * squares, abs=0.006)


def test_clients_have_sessions_of_their_own() -> None:
    from mmesim.workload.build import build_closed_loop
    from mmesim.workload.types import ClientsSpec
    with pytest.raises(InputError, match="reach"):
        build_closed_loop(WorkloadSpec(clients=ClientsSpec(users=2), session_repeat=0.5, session_reach=3.0), MODELS, 1)


# ---- what made a trace is found again


@pytest.mark.parametrize(("repeat", "reach"), [(0.0, 1.0), (0.4, 1.0), (0.6, 8.0)])
def test_sessions_are_found_again_by_their_curve(repeat: float, reach: float) -> None:
    wanted = curve_of(sequence(shares(), repeat, reach, 40_000, 77), 30)
    found = fit_sessions(shares(), wanted, 40_000)
    assert found.error < 0.006
    again = curve_of(sequence(shares(), found.repeat, found.reach, 40_000, 78), 30)
    assert np.abs(again - wanted).max() < 0.02


def test_a_poisson_trace_is_poisson() -> None:
    spec = fit_arrivals(made(ArrivalSpec("poisson", 2.0), 6))
    assert spec.use == "poisson" and spec.rate_rps == pytest.approx(2.0, rel=0.03)


def test_states_of_a_modulated_trace_are_found_again() -> None:
    arrivals = ArrivalSpec("mmpp", rates_rps=(5.0, 10.0, 40.0), mean_sojourn_s=(1800.0, 600.0, 200.0))
    trace = made(arrivals, 48)
    spec = fit_arrivals(trace)
    assert spec.use == "mmpp"
    again = made(spec, 48, seed=9)
    here, there = (per_interval(each.t_ns, 0, each.end_ns, MINUTE_NS) for each in (trace, again))
    assert there.mean() == pytest.approx(here.mean(), rel=0.15)
    assert idc(there) == pytest.approx(idc(here), rel=0.3)


def test_a_rate_over_time_is_followed_with_its_burstiness() -> None:
    shape = ((0.0, 0.2), (6 * 3600.0, 2.0), (12 * 3600.0, 0.8))
    trace = made(ArrivalSpec("profile", rate_rps=1.0, shape=shape, cv=2.0), 12)
    spec = fit_arrivals(trace)
    assert spec.use == "profile" and 1.6 < spec.cv < 2.4
    again = made(spec, 12, seed=9)
    hours = [per_interval(each.t_ns, 0, each.end_ns, 60 * MINUTE_NS) for each in (trace, again)]
    assert np.corrcoef(*hours)[0, 1] > 0.97


def test_what_a_trace_cannot_give_is_refused() -> None:
    with pytest.raises(InputError, match="day needs at least 1440"):
        fit_arrivals(made(ArrivalSpec("poisson", 0.5), 2), "day")
    with pytest.raises(InputError, match="more even than Poisson"):
        fit_arrivals(made(ArrivalSpec("gamma", 0.5, cv=0.1), 2), "mmpp")


def test_a_trace_of_one_model_has_no_sessions() -> None:
    one = made(ArrivalSpec("poisson", 0.5), 2).busiest(1)
    fitted = fit(one)
    assert fitted.spec.session_repeat == 0 and fitted.held_out is None
    assert "sessions" not in fragment(fitted, "one", "trace.csv")


# ---- what is written is a scenario's


def test_the_fragment_is_what_was_fitted(tmp_path: Path) -> None:
    day = ArrivalSpec("profile", rate_rps=0.5, shape=((0.0, 0.2), (12 * 3600.0, 1.8), (24 * 3600.0, 0.2)),
                      period_s=86_400.0)
    for options in ({"arrivals": "day"}, {"popularity": "ranked"}, {"arrivals": "mmpp"}, {"arrivals": "poisson"}):
        fitted = fit(made(day, 48, 0.5, 5.0), **options)  # type: ignore[arg-type]
        text = fragment(fitted, "test", "trace.csv")
        assert max(map(len, text.splitlines())) <= 120
        document: dict[str, Any] = {
            "models": [{"profile": "resnet50-pytorch-t4", "count": len(fitted.models), "name": "m{i:02}"}],
            "endpoint": {"instance_type": "ml.g4dn.2xlarge"}, **yaml.safe_load(text)}
        (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(document))
        spec = workload_spec(load_scenario(str(tmp_path / "scenario.yaml")))
        assert (spec.session_repeat, spec.session_reach) == (fitted.spec.session_repeat, fitted.spec.session_reach)
        assert spec.arrivals.use == fitted.spec.arrivals.use and spec.popularity == fitted.spec.popularity


def test_the_command_writes_and_compares(tmp_path: Path) -> None:
    trace = made(ArrivalSpec("poisson", 0.5), 2, 0.5, 4.0)
    (tmp_path / "t.csv").write_text("timestamp_s,model\n" + "".join(
        f"{t / 1e9},{trace.names[m]}\n" for t, m in zip(trace.t_ns.tolist(), trace.model.tolist(), strict=True)))
    done = mmesim("trace", "fit", "t.csv", "-o", "w.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["held_out"]["mean_error"] < told["held_out"]["mean_error_independent"]
    assert yaml.safe_load((tmp_path / "w.yaml").read_text())["workload"]["popularity"]["use"] == "zipf"
    wrong = mmesim("trace", "fit", "t.csv", "--arrivals", "weekly", cwd=tmp_path)
    assert wrong.returncode == 2 and "whole" in wrong.stderr


# ---- real traces


@pytest.fixture(scope="module")
def genai(shared_data: Path) -> Fit:
    return fit(read_trace(shared_data / "traces" / "alibaba_genai_requests_dev.csv.gz"), popularity="ranked")


@pytest.mark.data
def test_the_genai_trace_is_met(genai: Fit) -> None:
    real, synthetic = genai.trace, genai.synthetic
    assert synthetic.requests == pytest.approx(real.requests, rel=0.03)
    assert synthetic.idc_per_minute == pytest.approx(real.idc_per_minute, rel=0.1)
    assert synthetic.cv_of_gaps == pytest.approx(real.cv_of_gaps, rel=0.1)
    assert synthetic.same_model_again == pytest.approx(real.same_model_again, abs=0.025)
    assert synthetic.autocorrelation_24h == pytest.approx(real.autocorrelation_24h, abs=0.05)
    for size in (2, 4, 8, 16, 32):
        assert synthetic.hit_ratio(size) == pytest.approx(real.hit_ratio(size), abs=0.025)


@pytest.mark.data
def test_the_unseen_third_is_predicted_far_better_than_without_sessions(genai: Fit) -> None:
    held = genai.held_out
    assert held is not None
    (mean, most), (alone, alone_most) = held.error(held.fitted), held.error(held.independent)
    assert mean < 0.03 and most < 0.05
    assert alone > 5 * mean and alone_most > 0.2


@pytest.mark.data
def test_the_shipped_example_is_this_fit(shared_data: Path) -> None:
    """scenarios/genai-sessions.yaml says how it was made: making it again gives it."""
    trace = read_trace(shared_data / "traces" / "alibaba_genai_requests_dev.csv.gz")
    again = fit(trace, arrivals="day", popularity="ranked").spec
    shipped = workload_spec(load_scenario("genai-sessions"))
    assert (shipped.session_repeat, shipped.session_reach) == (again.session_repeat, again.session_reach)
    assert shipped.popularity.weights == again.popularity.weights
    assert shipped.arrivals.shape == again.arrivals.shape
    assert (shipped.arrivals.rate_rps, shipped.arrivals.cv) == (again.arrivals.rate_rps, again.arrivals.cv)


@pytest.mark.data
def test_the_azure_day_gives_the_quickstarts_arrivals(shared_data: Path) -> None:
    trace = read_trace(shared_data / "traces" / "azure_functions_2019_1350f_24h_counts.csv.gz").busiest(160)
    arrivals = fit_arrivals(trace)
    assert arrivals.use == "mmpp"
    quick = workload_spec(load_scenario("quickstart")).arrivals
    assert arrivals.rates_rps == pytest.approx(quick.rates_rps, abs=0.005)
    assert arrivals.mean_sojourn_s == pytest.approx(quick.mean_sojourn_s, abs=0.5)
