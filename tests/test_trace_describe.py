"""Figures of traces: exact on small ones, those of theory on generated ones, and the published ones of real traces."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program import mmesim

from mmesim.errors import InputError
from mmesim.report.trace_figure import draw_trace
from mmesim.units import ns
from mmesim.workload.analysis.description import Description, describe
from mmesim.workload.analysis.independent import che_hit_ratios
from mmesim.workload.analysis.locality import FIRST, hit_ratios, stack_distances
from mmesim.workload.analysis.measures import autocorrelation, model_cv_of_gaps, ranks_carrying, zipf_ols
from mmesim.workload.analysis.recorded import Recorded, read_trace


def recorded(times_s: list[float], models: list[int], end_s: float, n_models: int = 0) -> Recorded:
    names = tuple(f"m{k}" for k in range(n_models or max(models) + 1))
    return Recorded(np.array([ns(t) for t in times_s]), np.array(models, np.int32), names, 0, ns(end_s))


# ---- locality


def lru_hits(models: list[int], room: int) -> int:
    """A cache, played."""
    cache: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for model in models:
        hits += model in cache
        cache[model] = None
        cache.move_to_end(model)
        if len(cache) > room:
            cache.popitem(last=False)
    return hits


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=120))
def test_stack_distances_say_what_a_played_cache_hits(models: list[int]) -> None:
    distances = stack_distances(np.array(models, np.int32))
    curve = hit_ratios(distances, 10)
    for room in range(1, 11):
        assert curve[room] * max(1, len(models)) == pytest.approx(lru_hits(models, room))
    assert (distances == FIRST).sum() == len(set(models))


def test_a_million_distances_are_a_matter_of_seconds() -> None:
    """Not of n²: a cyclic scan over 1,000 models has the distance 999 everywhere."""
    distances = stack_distances(np.tile(np.arange(1000, dtype=np.int32), 500))
    assert (distances[1000:] == 999).all() and (distances[:1000] == FIRST).all()


def test_che_is_right_for_independent_draws() -> None:
    weight = np.arange(1.0, 51) ** -1.0
    models = np.random.default_rng(1).choice(50, 200_000, p=weight / weight.sum()).astype(np.int32)
    sizes = np.array([1, 2, 5, 10, 25, 50])
    played = hit_ratios(stack_distances(models), 50)[sizes]
    assert np.abs(che_hit_ratios(np.bincount(models), sizes) - played).max() < 0.01


# ---- figures


def test_figures_of_a_trace_one_can_count_by_hand() -> None:
    """Two minutes and a half: three requests, none, one; a a b | | a."""
    figures = describe(recorded([0, 10, 40, 130], [0, 0, 1, 0], 150))
    assert (figures.requests, figures.models, figures.span_s) == (4, 2, 130)
    assert figures.mean_rate_rps == pytest.approx(4 / 130)
    assert figures.peak_minute_ratio == pytest.approx(3 / (4 / 3))
    assert figures.idc_per_minute == pytest.approx(np.var([3, 0, 1]) / (4 / 3))
    assert figures.top1_share == 0.75 and figures.models_for_90_percent == 2
    assert figures.same_model_again == pytest.approx(1 / 3)
    assert figures.independent_again == pytest.approx(0.75**2 + 0.25**2)
    assert figures.mean_run == pytest.approx(4 / 3)
    assert figures.first_requests == 0.5
    assert figures.cv_of_gaps == pytest.approx(np.std([10, 30, 90]) / np.mean([10, 30, 90]))
    assert figures.lru_hit_ratio == (0, 0.25, 0.5)
    assert (figures.half_seen_s, figures.ninety_percent_seen_s) == (0, 40)
    assert math.isnan(figures.autocorrelation_24h) and math.isnan(figures.peak_hour)


def test_a_day_that_repeats_is_seen() -> None:
    """Three days with requests from 20 to 22 h; 21 h is busiest."""
    times = [day * 86_400 + 20 * 3600 + k * 240 for day in range(3) for k in range(15)]
    times += [day * 86_400 + 21 * 3600 + k * 120 for day in range(3) for k in range(30)]
    figures = describe(recorded(sorted(times), [0] * len(times), 3 * 86_400))
    assert figures.autocorrelation_24h == pytest.approx(1)
    assert figures.peak_hour == 21 and math.isinf(figures.hour_peak_to_trough)
    assert figures.as_json()["hour_peak_to_trough"] is None


def test_measures_at_their_edges() -> None:
    assert ranks_carrying(np.array([5, 3, 1, 1]), 0.9) == 3
    assert zipf_ols(np.array([1000, 500, 333, 250, 200])) == pytest.approx(1, abs=0.01)
    assert math.isnan(zipf_ols(np.array([7])))
    assert math.isnan(autocorrelation(np.ones(10, np.int64), 24))
    even = np.arange(40) * 10
    assert model_cv_of_gaps(even, np.tile([0, 1], 20).astype(np.int32), 2) == pytest.approx(0, abs=1e-9)


def test_counts_per_minute_have_no_gaps(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text("minute,model,count\n0,a,30\n1,b,10\n")
    figures = describe(read_trace(path))
    assert not figures.exact_times and math.isnan(figures.cv_of_gaps)
    assert figures.span_s == 120 and figures.requests == 40


def test_a_trace_needs_a_request(tmp_path: Path) -> None:
    (tmp_path / "counts.csv").write_text("minute,model,count\n0,a,0\n")
    with pytest.raises(InputError, match="at least one request"):
        read_trace(tmp_path / "counts.csv")


@pytest.mark.parametrize("rows", ["5,a\n", "5,a\n5,b\n5,a\n", "1,a\n2,a\n"])
def test_the_least_traces_are_described_and_drawn(tmp_path: Path, rows: str) -> None:
    (tmp_path / "trace.csv").write_text("timestamp_s,model\n" + rows)
    requests = read_trace(tmp_path / "trace.csv")
    draw_trace(requests, describe(requests), tmp_path / "trace.svg", "trace")
    assert (tmp_path / "trace.svg").stat().st_size > 1000


# ---- the command


def test_the_command_prints_json_and_draws(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = "".join(f"{t},m{m}\n" for t, m in zip(np.sort(rng.uniform(0, 9e4, 800)).round(2), rng.integers(0, 9, 800),
                                                 strict=True))
    (tmp_path / "trace.csv").write_text("timestamp_s,model\n" + rows)
    done = mmesim("trace", "describe", "trace.csv", "--json", "-o", "trace.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["requests"] == 800 and told["lru_hit_ratio"]["8"] < 1
    assert (tmp_path / "trace.png").read_bytes().startswith(b"\x89PNG")
    wrong = mmesim("trace", "describe", "trace.csv", "-o", "trace.gif", cwd=tmp_path)
    assert wrong.returncode == 2 and ".png, .svg, .pdf" in wrong.stderr


# ---- real traces: the published table, each figure within half of its last printed digit

PUBLISHED: dict[str, dict[str, tuple[float, float]]] = {
    "alibaba_genai_requests_dev": {
        "requests": (15_615, 0), "models": (77, 0), "span_s": (16.3 * 86_400, 0.05 * 86_400),
        "mean_rate_rps": (0.0111, 5e-5), "top1_share": (0.30, 5e-3), "models_for_90_percent": (15, 0),
        "zipf_s": (1.38, 5e-3), "zipf_s_ols": (1.65, 5e-3), "cv_of_gaps": (11.6, 0.05), "model_cv_of_gaps": (6.0, 0.05),
        "idc_per_minute": (3.3, 0.05), "model_idc_per_minute": (1.5, 0.05), "peak_minute_ratio": (20, 0.5),
        "autocorrelation_24h": (0.64, 5e-3), "models_per_1000": (39, 0.5), "first_requests": (0.0049, 5e-5)},
    "azure_functions_2019_1350f_24h": {
        "requests": (927_272, 0), "models": (1350, 0), "mean_rate_rps": (10.7, 0.05), "top1_share": (0.062, 5e-4),
        "models_for_90_percent": (253, 0), "zipf_s": (1.00, 5e-3), "zipf_s_ols": (1.31, 5e-3),
        "cv_of_gaps": (1.08, 5e-3), "model_cv_of_gaps": (7.2, 0.05), "idc_per_minute": (106, 0.5),
        "model_idc_per_minute": (94, 0.5), "peak_minute_ratio": (6.3, 0.05), "hour_peak_to_trough": (1.66, 5e-3),
        "models_per_1000": (258, 0.5)},
    "azure_llm_2023": {
        "requests": (28_185, 0), "models": (2, 0), "span_s": (58.6 * 60, 3), "mean_rate_rps": (8.0, 0.05),
        "top1_share": (0.69, 5e-3), "cv_of_gaps": (1.33, 5e-3), "model_cv_of_gaps": (4.9, 0.05),
        "idc_per_minute": (64, 0.5), "model_idc_per_minute": (58, 0.5), "peak_minute_ratio": (1.8, 0.05)},
    "mooncake_conversation": {
        "requests": (12_031, 0), "models": (1, 0), "mean_rate_rps": (3.4, 0.05), "cv_of_gaps": (3.0, 0.05),
        "idc_per_minute": (2.8, 0.05), "peak_minute_ratio": (1.2, 0.05)},
    "iluvatar_21f_5min": {
        "requests": (11_868, 0), "models": (21, 0), "mean_rate_rps": (39.6, 0.05), "top1_share": (0.33, 5e-3),
        "models_for_90_percent": (9, 0), "zipf_s": (1.23, 5e-3), "zipf_s_ols": (1.63, 5e-3), "cv_of_gaps": (0.89, 5e-3),
        "model_cv_of_gaps": (0.53, 5e-3), "idc_per_minute": (0.29, 5e-3), "model_idc_per_minute": (0.26, 5e-3),
        "peak_minute_ratio": (1.02, 5e-3)},
    "cloudphysics_block_sample": {
        "requests": (113_872, 0), "models": (48_974, 0), "mean_rate_rps": (15.8, 0.05), "top1_share": (0.014, 5e-4),
        "zipf_s": (0.62, 5e-3), "zipf_s_ols": (0.55, 5e-3), "cv_of_gaps": (4.1, 0.05), "model_cv_of_gaps": (1.0, 0.05),
        "idc_per_minute": (10_870, 5), "model_idc_per_minute": (1.4, 0.05), "peak_minute_ratio": (20, 0.5)},
    "azure_functions_2019_500f_8h_counts": {
        "requests": (3_037_902, 0), "models": (500, 0), "mean_rate_rps": (105, 0.5), "top1_share": (0.63, 5e-3),
        "models_for_90_percent": (10, 0), "zipf_s": (1.90, 5e-3), "zipf_s_ols": (1.94, 5e-3),
        "idc_per_minute": (64, 0.5), "model_idc_per_minute": (64, 0.5), "peak_minute_ratio": (1.2, 0.05)},
}


def real(shared_data: Path, name: str) -> Description:
    return describe(read_trace(shared_data / "traces" / f"{name}.csv.gz"))


@pytest.mark.data
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(shared_data: Path, name: str) -> None:
    figures = real(shared_data, name)
    off = {key: (getattr(figures, key), value) for key, (value, half) in PUBLISHED[name].items()
           if abs(getattr(figures, key) - value) > half}
    assert not off


@pytest.mark.data
def test_published_hit_ratios_of_lru(shared_data: Path) -> None:
    """Two of the published ratios round up what is 0.6505 and 0.9525 here by one request: one in 15,615 is allowed."""
    genai = real(shared_data, "alibaba_genai_requests_dev")
    for size, ratio in {2: 0.418, 4: 0.651, 8: 0.842, 19: 0.953, 38: 0.982}.items():
        assert genai.hit_ratio(size) == pytest.approx(ratio, abs=5e-4 + 1 / 15_615)
    azure = real(shared_data, "azure_functions_2019_1350f_24h")
    for size, ratio in {27: 0.411, 68: 0.570, 135: 0.705, 338: 0.936, 675: 0.997}.items():
        assert azure.hit_ratio(size) == pytest.approx(ratio, abs=5e-4)
