"""The fit of a served model: its curve, what a closed loop measures, recovery of a known truth, published points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmesim.calibrate.serving.curve import BatchCurve, offline_curve
from mmesim.calibrate.serving.fit import fit_serving
from mmesim.calibrate.serving.groups import groups, setting
from mmesim.calibrate.serving.loop import Observed, closed_loop
from mmesim.calibrate.serving.timing import Setting, Timing
from mmesim.calibrate.serving.validate import judge, regime, summary
from mmesim.calibrate.serving.window import counted_part, counts_whole_requests_only
from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers import read_measurements

PLAIN = Timing(launch_s=0, copy_s=0, gap_s=0, interference_k=0, frontend_s=0, network_s=1e-3)
LINEAR = BatchCurve([(1, 0.010), (2, 0.012), (4, 0.016), (8, 0.024)])
ONE = Setting(items=1, instance_count=1, max_batch_size=8)


def point(concurrency: int, seen: Observed, items: int = 1, **more: object) -> OperatingPoint:
    """The row that a tool would have written of this."""
    return OperatingPoint(
        model="m", backend="tensorrt", precision="fp16", gpu="T4", scenario="online", instance_count=2,
        max_batch_size=64, dynamic_batching=True, batch_size=items, concurrency=concurrency,
        throughput_per_s=seen.request_rps * items, latency_s=seen.latency_s, p95_s=seen.p95_s, queue_s=seen.queue_s,
        compute_infer_s=seen.compute_s, **more)  # type: ignore[arg-type]


def offline(times_s: dict[int, float]) -> list[OperatingPoint]:
    return [OperatingPoint(model="m", backend="tensorrt", precision="fp16", gpu="T4", scenario="offline", batch_size=b,
                           concurrency=1, instance_count=2, max_batch_size=64, compute_infer_s=s, latency_s=s + 3e-4,
                           throughput_per_s=b / (s + 3e-4)) for b, s in times_s.items()]


def test_a_curve_goes_through_its_points_and_on_with_the_last_slope() -> None:
    assert LINEAR.seconds([0, 1, 3, 8]).tolist() == pytest.approx([0, 0.010, 0.014, 0.024])
    assert LINEAR.seconds([10])[0] == pytest.approx(0.028)
    assert not LINEAR.padded


def test_padding_to_powers_of_two_is_seen_and_holds_for_every_size() -> None:
    padded = BatchCurve([(1, 1e-3), (4, 2e-3), (6, 3.9e-3), (7, 4e-3), (8, 4e-3), (12, 7.9e-3), (16, 8e-3)])
    assert padded.padded
    assert padded.seconds([5])[0] == padded.seconds([8])[0]
    assert padded.seconds([9])[0] == padded.seconds([16])[0]
    sizes, seconds = zip(*padded.points(16), strict=True)
    plain = BatchCurve(list(zip(sizes, seconds, strict=True)))
    every = np.arange(1, 17)
    assert plain.seconds(every) == pytest.approx(padded.seconds(every))


def test_one_size_between_powers_is_no_padding() -> None:
    assert not BatchCurve([(1, 1e-3), (4, 2e-3), (6, 4e-3), (8, 4e-3)]).padded


def test_offline_curves_leave_the_input_copy_out() -> None:
    row = replace(offline({1: 0.005})[0], compute_input_s=0.002)
    assert offline_curve([row]).seconds([1])[0] == 0.005
    whole = replace(row, compute_infer_s=None, compute_input_s=None)
    assert offline_curve([whole]).seconds([1])[0] == pytest.approx(0.0053)


def test_one_request_in_flight_takes_batch_launch_copy_front_end_and_network() -> None:
    timing = replace(PLAIN, launch_s=2e-3, copy_s=1e-3, frontend_s=5e-4)
    seen = closed_loop(timing, LINEAR, ONE, 1, 400)
    assert seen.latency_s == pytest.approx(0.010 + 0.002 + 0.001 + 0.0005 + 0.001, rel=0.01)
    assert seen.request_rps * seen.latency_s == pytest.approx(1, rel=0.01)


def test_one_instance_runs_one_part_of_the_loop_while_the_other_waits() -> None:
    """Two batches go round, of b and 8 - b requests: the queue of one is the compute time of the other."""
    seen = closed_loop(replace(PLAIN, network_s=1e-6), LINEAR, ONE, 8, 2000)
    times_s = {b: (b * LINEAR.seconds([b])[0] + (8 - b) * LINEAR.seconds([8 - b])[0]) / 8 for b in (4, 5, 6, 7)}
    assert min(abs(seen.compute_s - mean_s) for mean_s in times_s.values()) < 3e-4
    assert 4 <= seen.batch_requests <= 6.3
    assert seen.latency_s == pytest.approx(LINEAR.seconds([4])[0] * 2, rel=0.03)


def test_batches_formed_ahead_are_short_and_their_queue_long() -> None:
    """Four batches of one wait while two run: W/E = 2, as GPUNet's published points say."""
    two = Setting(items=1, instance_count=2, max_batch_size=8)
    ahead = closed_loop(replace(PLAIN, network_s=1e-6, prefetched_batches=4), LINEAR, two, 6, 2000)
    usual = closed_loop(replace(PLAIN, network_s=1e-6), LINEAR, two, 6, 2000)
    assert ahead.batch_requests == pytest.approx(1, abs=0.05)
    assert ahead.queue_s / ahead.compute_s == pytest.approx(2, abs=0.1)
    assert usual.queue_s / usual.compute_s == pytest.approx(0.5, abs=0.1)


def test_two_instances_overlap_in_the_gap_and_disturb_each_other_by_k() -> None:
    two = Setting(items=1, instance_count=2, max_batch_size=1)
    alone, gap, disturbed = (closed_loop(replace(PLAIN, network_s=1e-6, gap_s=gap_s, interference_k=k), LINEAR, two, 2,
                                         1000) for gap_s, k in ((0.0, 0.0), (0.005, 0.0), (0.005, 0.3)))
    assert alone.compute_s == pytest.approx(0.020, rel=0.03)
    assert gap.compute_s == pytest.approx(0.010, rel=0.03)
    assert disturbed.compute_s == pytest.approx(0.013, rel=0.03)


@pytest.mark.parametrize("truth", [
    Timing(2e-4, 1e-4, 2e-3, 0.5, 2e-4, 5e-4),
    Timing(1e-4, 5e-5, 1e-3, 0.5, 1e-4, 3e-4, prefetched_batches=4),
])
def test_a_known_truth_is_predicted_from_two_points(truth: Timing) -> None:
    """Points made by the model itself: the fit predicts loads up to 16 times higher to within 6 %."""
    curve = BatchCurve([(1, 0.004), (4, 0.007), (16, 0.019), (64, 0.067)])
    at = Setting(items=1, instance_count=2, max_batch_size=64)
    seen = {n: closed_loop(truth, curve, at, n, 2000, seed=9) for n in (8, 16, 32, 64, 128)}
    fit = fit_serving(curve, at, [point(n, seen[n]) for n in (8, 16)], backend="tensorrt", whole_latency=False)
    assert fit.timing.prefetched_batches == truth.prefetched_batches
    for n in (32, 64, 128):
        assert fit.at(n).latency_s == pytest.approx(seen[n].latency_s, rel=0.06)
    for name, estimate in fit.estimates.items():
        assert estimate.low <= estimate.value <= estimate.high, name


def test_fits_are_deterministic() -> None:
    rows = [point(n, closed_loop(PLAIN, LINEAR, Setting(1, 2, 64), n, 500)) for n in (4, 8)]
    fits = [fit_serving(LINEAR, Setting(1, 2, 64), rows, backend="tensorrt", whole_latency=False) for _ in range(2)]
    assert fits[0].timing == fits[1].timing


def test_a_fit_needs_points() -> None:
    with pytest.raises(ValueError, match="no loaded points"):
        fit_serving(LINEAR, ONE, [], backend="tensorrt", whole_latency=False)


def loaded(latencies_s: Sequence[float], **more: object) -> list[OperatingPoint]:
    return [OperatingPoint(model="m", scenario="online", concurrency=8 * (n + 1), latency_s=r,
                           throughput_per_s=8 * (n + 1) / r, instance_count=2, max_batch_size=64, **more)  # type: ignore[arg-type]
            for n, r in enumerate(latencies_s)]


def test_a_group_gives_its_offline_rows_and_the_two_lowest_loads() -> None:
    rows = [replace(p, model="m", backend="", precision="", gpu="") for p in offline({1: 0.004, 8: 0.01})]
    (group,) = groups([*loaded([0.03, 0.02, 0.01]), *rows])
    assert [p.concurrency for p in group.seen] == [8, 16]
    assert [p.concurrency for p in group.judged] == [24]
    assert [p.batch_size for p in group.alone] == [1, 8]


def test_groups_without_offline_rows_are_split_by_a_fraction() -> None:
    rows = loaded([0.01, 0.02, 0.03, 0.04])
    assert groups(rows) == []
    (group,) = groups(rows, fit_fraction=0.5)
    assert [p.concurrency for p in group.judged] == [24, 32]
    assert setting(rows[0]) == Setting(1, 2, 64)


def test_a_sweep_has_its_curve_from_one_request_in_flight_at_each_batch_size() -> None:
    rows = [replace(p, concurrency=n + 1, batch_size=b, latency_s=0.01 * b) for b in (1, 4)
            for n, p in enumerate(loaded([0.01] * 4))]
    one, four = groups(rows, fit_fraction=0.5)
    assert [(p.batch_size, p.latency_s) for p in one.alone] == [(1, 0.01), (4, 0.04)] == \
        [(p.batch_size, p.latency_s) for p in four.alone]
    assert not {id(p) for p in one.alone} & {id(p) for group in (one, four) for p in group.judged}


def test_regimes_follow_the_saturation_point() -> None:
    rows = [replace(p, model="m", backend="", precision="", gpu="") for p in offline({1: 0.004})]
    (group,) = groups([*loaded([0.010, 0.010, 0.0125, 0.02, 0.04, 0.08]), *rows])
    # X_max = 24 / 0.0125 = 1920/s (and 32 / 0.02 = 1600/s), R_min = 10 ms: N* = 19.2
    assert [regime(group, p) for p in group.loaded] == ["below", "at", "at", "past", "past", "past"]


def test_the_window_of_perf_analyzer_is_seen_in_little_s_law() -> None:
    short = [replace(p, throughput_per_s=p.throughput_per_s * counted_part(p.latency_s))  # type: ignore[operator]
             for p in loaded([0.05, 0.1]) if p.latency_s]
    assert counts_whole_requests_only(short)
    assert not counts_whole_requests_only(loaded([0.05, 0.1]))
    assert counted_part(0.1) == pytest.approx(0.95)
    assert counted_part(0.5) == pytest.approx(0.9)


@pytest.mark.data
def test_published_points_are_predicted_as_well_as_the_documents_say(shared_data: Path) -> None:
    """A part of docs/validation.md: 3D U-Nets and FastPitch (11 groups, 106 rows), not ResNet, not TensorRT.

    Measured: median 2 to 3 % for throughput and latency, 90th percentile 15 %.
    """
    found = [group for group in groups(read_measurements(shared_data / "triton_published" / "measurements.csv"))
             if group.model in ("nnunet-3d", "fastpitch")]
    rows = [row for group in found for row in judge(group).rows]
    assert (len(found), len(rows)) == (11, 106)
    errors = summary(rows)
    assert errors["throughput"]["median"] <= 0.05
    assert errors["latency"]["median"] <= 0.08
    assert errors["throughput"]["p90"] <= 0.20
    assert errors["latency"]["p90"] <= 0.20
