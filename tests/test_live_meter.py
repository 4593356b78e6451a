"""The live meter: each published value against one computed by hand, and the metrics page against its parser."""

from __future__ import annotations

import pytest

from mmesim.core.metrics import PUBLISHED
from mmesim.core.types import Failure, Tier
from mmesim.live.exposition import exporter_name, page
from mmesim.live.meter import MODEL_SERIES, OTHERS, Meter

parser = pytest.importorskip("prometheus_client.parser")
MS, S = 1_000_000, 1_000_000_000
LEVELS = {"CPUUtilization": 30.0, "MemoryUtilization": 40.0, "DiskUtilization": 50.0, "LoadedModelCount": 3.0,
          "GPUUtilization": 60.0, "GPUMemoryUtilization": 70.0, "nv_inference_count": 9.0}
WITHIN = 1 / 128


def busy_meter() -> Meter:
    """Three answers, one of them cold, and three failures."""
    meter = Meter("shop")
    meter.request("a", 0, Tier.GPU, Failure.NONE, 10 * MS, overhead_ns=1 * MS)
    meter.request("a", 0, Tier.GPU, Failure.NONE, 20 * MS, overhead_ns=2 * MS)
    meter.request("b", 1, Tier.S3, Failure.NONE, 1530 * MS, overhead_ns=0, loading_wait_ns=1500 * MS)
    meter.request("b", 1, Tier.DISK, Failure.MODEL_NOT_READY, 2000 * MS)
    meter.request("b", 1, Tier.DISK, Failure.LOAD_FAILED, 100 * MS)
    meter.request("zzz", -1, Tier.GPU, Failure.NO_SUCH_MODEL, 0)
    meter.download(0, 2.0)
    meter.load(0, 1.0)
    meter.load(1, 3.0)
    meter.unload(1, 0.5)
    meter.levels(0, {**LEVELS, "CPUUtilization": 10.0, "LoadedModelCount": 2.0})
    meter.levels(0, LEVELS)
    meter.levels(1, {"CPUUtilization": 100.0, "LoadedModelCount": 5.0})
    return meter


def test_a_period_by_hand() -> None:
    values = busy_meter().period(60 * S)
    expected = {
        "Invocations.Sum": 6, "InvocationsPerInstance.Sum": 3,
        "ConcurrentRequestsPerModel.Average": (10 + 20 + 1530 + 2000 + 100) * MS / (60 * S) / 2,
        "ModelLatency.Sum": 9_000 + 18_000 + 30_000, "ModelLatency.SampleCount": 3,
        "OverheadLatency.Sum": 1_000 + 2_000 + 1_500_000, "ModelLoadingWaitTime.Average": 500_000,
        "ModelCacheHit.Average": 2 / 3, "Invocation4XXErrors.Sum": 3, "InvocationModelErrors.Sum": 1,
        "Invocation5XXErrors.Sum": 0, "Invocation4XXErrors.Average": 0.5, "Invocation4XXErrors.SampleCount": 6,
        "ModelDownloadingTime.Sum": 2e6, "ModelLoadingTime.Average": 2e6, "ModelLoadingTime.Maximum": 3e6,
        "ModelUnloadingTime.SampleCount": 1, "CPUUtilization.Average": ((10 + 30) / 2 + 100) / 2,
        "LoadedModelCount.Sum": 3 + 5, "LoadedModelCount.Minimum": 3, "GPUUtilization.SampleCount": 1,
        "GPUMemoryUtilization.Average": 70, "DiskUtilization.Average": 50, "MemoryUtilization.Average": 40}
    assert {key: values[key] for key in expected} == pytest.approx(expected)
    assert values["ModelLatency.p50"] == pytest.approx(9_000, rel=WITHIN)
    assert values["ModelLatency.p99"] == pytest.approx(18_000, rel=WITHIN), "cold answers are not in the percentiles"


def test_names_and_statistics_are_those_that_policies_can_ask_for() -> None:
    values = busy_meter().period(60 * S)
    known = {f"{name}.{statistic}" for name, statistics in PUBLISHED.items() for statistic in statistics}
    assert set(values) == known, "every metric has data here"


def test_what_has_no_data_is_absent_and_no_traffic_is_a_zero() -> None:
    meter = Meter("shop")
    assert meter.period(60 * S) == {"Invocations.Sum": 0.0}
    meter.levels(0, {"LoadedModelCount": 0.0})
    values = meter.period(120 * S)
    assert values["InvocationsPerInstance.Sum"] == values["ConcurrentRequestsPerModel.Average"] == 0
    assert not {key for key in values if key.startswith(("ModelLatency", "GPU", "CPU", "ModelCacheHit"))}


def test_a_request_over_several_periods_is_in_flight_in_each_and_counted_once() -> None:
    """It arrives at 50 s and ends at 130 s."""
    meter, seen = Meter("shop"), []
    for end_s, ages_s in ((60, [10]), (120, [70]), (180, [])):
        if end_s == 180:
            meter.request("a", 0, Tier.GPU, Failure.NONE, 80 * S)
        meter.levels(0, LEVELS)
        values = meter.period(end_s * S, [age_s * S for age_s in ages_s])
        seen.append((values["Invocations.Sum"], values["ConcurrentRequestsPerModel.Average"]))
    assert seen == [(1, pytest.approx(10 / 60)), (0, pytest.approx(1)), (0, pytest.approx(10 / 60))]


def test_each_period_begins_at_nothing() -> None:
    meter = busy_meter()
    meter.period(60 * S)
    assert meter.period(120 * S) == {"Invocations.Sum": 0.0}
    assert meter.actions["load"] == (2, 4.0), "what is counted for Prometheus goes on"


def test_names_that_a_real_endpoint_has_in_prometheus() -> None:
    """By the rule of prometheus/cloudwatch_exporter: namespace and metric in snake case, then the statistic."""
    assert exporter_name("ModelLatency.p99") == "aws_sagemaker_model_latency_p99"
    assert exporter_name("Invocation4XXErrors.Sum") == "aws_sagemaker_invocation4_xxerrors_sum"
    assert exporter_name("GPUUtilization.SampleCount") == "_aws_sagemaker_endpoints_gpuutilization_sample_count"


def samples(meter: Meter) -> dict[tuple[str, tuple[str, ...]], float]:
    families = parser.text_string_to_metric_families(page(meter).decode())
    return {(sample.name, tuple(label for _, label in sorted(sample.labels.items()))): sample.value
            for family in families for sample in family.samples}


def test_the_page_holds_cloudwatch_counters_histogram_triton_and_process() -> None:
    meter = busy_meter()
    meter.period(60 * S)
    meter.levels(0, {"nv_inference_count": 12.0})
    meter.health["mmesim_journal_bytes"] = 5
    found = samples(meter)
    assert found["aws_sagemaker_invocations_sum", ("shop", "AllTraffic")] == 6
    assert found["mmesim_requests_total", ("answered",)] == 3
    assert found["mmesim_requests_total", ("no_such_model",)] == 1
    assert found["mmesim_request_seconds_bucket", ("0.01", "gpu")] == 0, "10 ms may be a little above"
    assert found["mmesim_request_seconds_bucket", ("0.025", "gpu")] == 2
    assert found["mmesim_request_seconds_sum", ("gpu",)] == pytest.approx(0.03)
    assert found["mmesim_model_requests_total", ("b",)] == 3
    assert found["mmesim_model_failed_total", ("b",)] == 2
    assert found["mmesim_model_hits_total", ("a",)] == 2
    assert found["mmesim_load_seconds_total", ()] == 4
    assert found["nv_inference_count", ("0",)] == 12
    assert found["mmesim_journal_bytes", ()] == 5
    assert found["process_resident_memory_bytes", ()] > 1e6


def test_series_of_models_are_bounded_and_strangers_names_make_none() -> None:
    meter = Meter("shop")
    for k in range(MODEL_SERIES + 50):
        meter.request(f"m{k}", 0, Tier.GPU, Failure.NONE, MS)
        meter.request(f"invented{k}", -1, Tier.GPU, Failure.NO_SUCH_MODEL, 0)
    assert len(meter.models) == MODEL_SERIES + 1
    assert meter.models[OTHERS].requests == 50
    assert meter.models["m0"].requests == 1
