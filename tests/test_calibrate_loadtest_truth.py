"""Calibration judged by a known truth: an endpoint is simulated, its measurements are written, then predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmesim.calibrate.loadtest.endpoint import LoadTest, Timing, endpoint
from mmesim.calibrate.loadtest.locust import percentiles_ms
from mmesim.calibrate.loadtest.predict import Settings, load_test, summary
from mmesim.calibrate.loadtest.tables import read_measurements
from mmesim.workload.types import StageSpec

STAGES = (StageSpec(15, 10, 5), StageSpec(30, 25, 2), StageSpec(45, 40, 2), StageSpec(60, 55, 2), StageSpec(80, 80, 2))
POLLS_S = (12.0, 27.0, 42.0, 57.0, 68.0, 79.0)
COLUMNS = ("model,engine,models_loaded,poll,requests_cum,failures_cum,rps_cum,avg_ms_cum,min_ms_cum,max_ms_cum,"
           "p50_ms_cum,p66_ms_cum,p75_ms_cum,p80_ms_cum,p90_ms_cum,p95_ms_cum,p98_ms_cum,p99_ms_cum")


def _written(folder: Path, truth: Timing, processes: int) -> Path:
    """What Locust and nvidia-smi would have written of such an endpoint."""
    test = LoadTest("ml.g4dn.2xlarge", "T4", 12, STAGES, (0.05, 0.5), processes, 0.08)
    with endpoint(test, POLLS_S[-1]) as simulated:
        run = simulated.run(truth, seed=99)
    rows = []
    for n, time_s in enumerate(POLLS_S):
        latency_ms = run.latency_ms[run.end_s <= time_s]
        values = (len(latency_ms) / time_s, latency_ms.mean(), latency_ms.min(), latency_ms.max(),
                  *percentiles_ms(latency_ms))
        rows.append(f"made,trt,12,{n},{len(latency_ms)},0," + ",".join(f"{value:.6f}" for value in values))
    (folder / "load_test.csv").write_text("\n".join((COLUMNS, *rows)) + "\n")
    steps = [f"made,trt,{n + 1},{6 + 7 * n},ml.g4dn.2xlarge" for n in range(5)]
    (folder / "memory_steps.csv").write_text(
        "\n".join(("model,engine,models_loaded,gpu_memory_pct,instance_type", *steps)) + "\n")
    return folder


@pytest.mark.parametrize(("truth", "processes"), [
    (Timing(client_s=0.05, device_s=0.002, overhead_s=0.04, client_cv=0.3), 4),
    (Timing(client_s=0.004, device_s=0.012, overhead_s=0.03, client_cv=0.3), 4),
], ids=["generator-bound", "device-bound"])
def test_a_known_endpoint_is_recovered_and_predicted(tmp_path: Path, truth: Timing, processes: int) -> None:
    settings = Settings(stages=STAGES, processes=processes, calibrate_polls=4, seeds=2)
    result, = load_test(read_measurements(_written(tmp_path, truth, processes)), settings)
    limit_rps = min(processes / truth.client_s, 1 / truth.device_s)
    assert [fitted.limit_rps for fitted in result.fitted] == pytest.approx([limit_rps, limit_rps], rel=0.05)
    errors = summary(result)
    assert abs(errors["rps"]["worst"]) < 0.05 and abs(errors["mean_ms"]["worst"]) < 0.12
    assert abs(errors["p50_ms"]["worst"]) < 0.15 and abs(errors["p95_ms"]["worst"]) < 0.2
    assert result.memory.copies == 12


def test_the_same_seed_gives_the_same_run() -> None:
    test = LoadTest("ml.g4dn.2xlarge", "T4", 5, STAGES[:1], (0.05, 0.5), 2, 0.08)
    with endpoint(test, 10.0) as simulated:
        first, again, other = (simulated.run(Timing(0.02, 0.003, 0.02, 0.3), seed) for seed in (1, 1, 2))
    assert np.array_equal(first.latency_ms, again.latency_ms) and np.array_equal(first.end_s, again.end_s)
    assert not np.array_equal(first.latency_ms, other.latency_ms)


def test_the_window_does_not_show() -> None:
    """Half the overhead is half the window between generator and endpoint: with one user each latency moves by that
    half and by nothing else (same random numbers, nobody to wait for)."""
    test = LoadTest("ml.g4dn.2xlarge", "T4", 5, (StageSpec(20, 1, 1),), (0.2, 0.2), 1, 0.0)
    with endpoint(test, 19.0) as simulated:
        long, short = (simulated.run(Timing(0.004, 0.002, overhead_s, 0.05), 1) for overhead_s in (0.05, 0.025))
    shared = min(len(long.latency_ms), len(short.latency_ms))
    assert shared > 60
    assert long.latency_ms[:shared] - short.latency_ms[:shared] == pytest.approx(25.0, abs=1e-6)
