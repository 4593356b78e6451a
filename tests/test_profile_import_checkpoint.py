"""Model Analyzer's checkpoints give the right points, whatever release wrote them; figures checked by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from checkpoints import ADD_SUB, GPU, UUID, Measurement, Model, checkpoint

from mmesim.errors import InputError
from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers import Given, Imported, read_measurements, read_points

SWEEP = "experiments/data/resnet50_libtorch/0.ckpt"

def _import(tmp_path: Path, text: str, **given: object) -> Imported:
    path = tmp_path / "0.ckpt"
    path.write_text(text)
    return read_points([path], given=Given(**given))  # type: ignore[arg-type]


def _one(tmp_path: Path, text: str) -> OperatingPoint:
    [point] = _import(tmp_path, text).points
    return point


@pytest.mark.parametrize("form", ["current", "2022"])
def test_every_metric_of_a_measurement_in_its_unit(tmp_path, form):
    point = _one(tmp_path, checkpoint([Measurement()], form=form))
    assert (point.model, point.variant, point.backend, point.gpu) == (
        "add_sub", "add_sub_config_default", "torchscript", "TITAN_RTX")
    assert (point.batch_size, point.concurrency, point.request_rate_rps) == (1, 1, None)
    assert (point.instance_count, point.max_batch_size, point.dynamic_batching) == (1, 8, False)
    assert point.throughput_per_s == 2508.04
    assert (point.latency_s, point.p50_s, point.p90_s, point.p95_s, point.p99_s) == (
        0.000397, None, 0.000463, 0.000488, 0.000539)
    assert (point.queue_s, point.send_recv_s) == (0.000019, 0.000004)
    assert (point.compute_input_s, point.compute_infer_s, point.compute_output_s) == (0.000035, 0.000064, 0.000042)
    assert point.network_s == pytest.approx(0.000233)  # 397 - 4 - 19 - 35 - 64 - 42 us
    assert (point.gpu_bytes, point.idle_gpu_bytes, point.gpu_utilization) == (872415232, 870318080, 0.02)
    assert point.scenario == "online"
    assert point.littles_law == pytest.approx(0.9957, abs=1e-4)
    assert point.source.endswith("/0.ckpt")
    assert point.at.startswith("add_sub_config_default | ")


def test_configuration_defaults_are_protobufs(tmp_path):
    """No count is 1, no group is 1, an empty batcher is a batcher, no maximum is 0."""
    def settings(config: dict[str, object]) -> tuple[object, ...]:
        point = _one(tmp_path, checkpoint([Measurement([Model(config=config)])]))
        return point.instance_count, point.max_batch_size, point.dynamic_batching, point.preferred_batch_sizes

    assert settings({}) == (1, 0, False, ())
    assert settings({"dynamicBatching": {}, "maxBatchSize": 2, "instanceGroup": [{}]}) == (1, 2, True, ())
    assert settings({"instanceGroup": [{"count": 2, "kind": "KIND_GPU"}, {"count": 3, "kind": "KIND_CPU"}],
                     "dynamicBatching": {"preferredBatchSize": [4, 8]}}) == (5, 0, True, (4, 8))
    assert settings({"max_batch_size": 16, "dynamic_batching": {"preferred_batch_size": [32]},
                     "instance_group": [{"count": 4}]}) == (4, 16, True, (32,))


@pytest.mark.parametrize(("config", "backend"), [
    ({"platform": "tensorrt_plan"}, "tensorrt"), ({"platform": "onnxruntime_onnx"}, "onnxruntime"),
    ({"backend": "pytorch"}, "torchscript"), ({"backend": "python"}, "python"), ({}, "")])
def test_backend_in_the_profiles_words(tmp_path, config, backend):
    assert _one(tmp_path, checkpoint([Measurement([Model(config=config)])])).backend == backend


@pytest.mark.parametrize(("device", "gpu"), [
    ("Tesla T4", "T4"), ("NVIDIA A10G", "A10G"), ("NVIDIA A100-SXM4-40GB", "A100"), ("Tesla V100-SXM2-16GB", "V100"),
    ("NVIDIA L40S", "L40S"), ("NVIDIA L4", "L4"), ("NVIDIA TITAN RTX", "TITAN_RTX"),
    ("NVIDIA GeForce RTX 4090", "RTX_4090")])
def test_gpu_as_the_catalog_calls_it(tmp_path, device, gpu):
    assert _one(tmp_path, checkpoint([Measurement()], devices={UUID: device})).gpu == gpu


def test_request_rate_is_an_open_loop(tmp_path):
    point = _one(tmp_path, checkpoint([Measurement([Model(batch=2, concurrency=None, rate=32)],
                                                   extra=" --request-distribution=poisson")]))
    assert (point.batch_size, point.concurrency, point.request_rate_rps) == (2, None, 32.0)
    assert point.littles_law is None
    assert "--request-distribution=poisson" in point.note


@pytest.mark.parametrize("form", ["current", "2022"])
def test_models_profiled_together_give_a_point_each(tmp_path, form):
    resnet = Model("resnet50_libtorch", "resnet50_libtorch_config_5",
                   {"platform": "pytorch_libtorch", "maxBatchSize": 1, "instanceGroup": [{"count": 2}]},
                   {"perf_throughput": 184.5, "perf_latency_avg": 21.5, "perf_latency_p99": 23.9}, concurrency=4)
    vgg = Model("vgg19_libtorch", "vgg19_libtorch_config_4", {"platform": "pytorch_libtorch", "maxBatchSize": 2},
                {"perf_throughput": 236.5, "perf_latency_avg": 8.4, "perf_latency_p99": 17.4}, concurrency=2)
    one, two = _import(tmp_path, checkpoint([Measurement([resnet, vgg])], form=form)).points
    assert (one.model, one.variant, one.throughput_per_s, one.p99_s, one.concurrency, one.instance_count) == (
        "resnet50_libtorch", "resnet50_libtorch_config_5", 184.5, 0.0239, 4, 2)
    assert (two.model, two.throughput_per_s, two.p99_s, two.concurrency, two.max_batch_size) == (
        "vgg19_libtorch", 236.5, 0.0174, 2, 2)
    assert (one.co_located, two.co_located) == (("vgg19_libtorch",), ("resnet50_libtorch",))
    assert one.note == "with vgg19_libtorch, vgg19_libtorch_config_4, batch 1, concurrency 2"
    assert one.gpu_bytes == two.gpu_bytes == 872415232


@pytest.mark.parametrize("form", ["current", "2022"])
def test_ensemble_has_no_instances_of_its_own(tmp_path, form):
    model = Model("ensemble_add_sub", "ensemble_add_sub_config_1", {"platform": "ensemble", "maxBatchSize": 8},
                  composing=[("add_config_0", {"instanceGroup": [{"count": 1}]}),
                             ("sub_config_1", {"instanceGroup": [{"count": 2}]})])
    point = _one(tmp_path, checkpoint([Measurement([model])], form=form))
    assert (point.backend, point.instance_count, point.dynamic_batching) == ("ensemble", None, None)
    assert point.note == "composed of add_config_0 x 1, sub_config_1 x 2"


def test_bls_keeps_its_own_instances(tmp_path):
    model = Model("bls", "bls_config_6", {"backend": "python", "instanceGroup": [{"count": 8, "kind": "KIND_GPU"}]},
                  composing=[("add_config_0", {})])
    point = _one(tmp_path, checkpoint([Measurement([model])]))
    assert (point.instance_count, point.max_batch_size) == (8, 0)
    assert point.note == "composed of add_config_0 x 1"


def test_a_run_without_a_gpu_is_of_the_cpu(tmp_path):
    imported = _import(tmp_path, checkpoint([Measurement(gpus={})], devices={}, idle={}))
    assert [(point.gpu, point.gpu_bytes) for point in imported.points] == [("", None)]  # its group says KIND_GPU
    cpu = Model(config={"backend": "onnxruntime", "instanceGroup": [{"count": 2, "kind": "KIND_CPU"}]})
    assert _one(tmp_path, checkpoint([Measurement([cpu], gpus={})])).gpu == "cpu"
    assert _one(tmp_path, checkpoint([Measurement([Model(config={})], gpus={})], devices={})).gpu == "cpu"
    assert any("no GPU memory" in remark for remark in imported.remarks)


def test_the_fullest_of_several_gpus_stands_for_the_run(tmp_path):
    gpus = {"GPU-a": GPU | {"gpu_used_memory": 500.0},
            "GPU-b": GPU | {"gpu_used_memory": 1500.0, "gpu_utilization": 80.0}}
    point = _one(tmp_path, checkpoint([Measurement(gpus=gpus)], devices={"GPU-a": "Tesla T4", "GPU-b": "NVIDIA A10G"},
                                      idle={"GPU-a": 400.0, "GPU-b": 300.0}))
    assert (point.gpu, point.gpu_bytes, point.gpu_utilization, point.idle_gpu_bytes) == (
        "A10G", 1_500_000_000, 0.8, 300_000_000)


def test_parts_of_composing_models_give_no_network(tmp_path):
    """They may overlap, so that they add up to more than the mean latency."""
    metrics = ADD_SUB | {"perf_server_queue": 0.9}
    assert _one(tmp_path, checkpoint([Measurement([Model(metrics=metrics)])])).network_s is None


def test_rows_that_were_cut_short_are_told(tmp_path):
    short = Model(metrics=ADD_SUB | {"perf_throughput": 1000.0})
    imported = _import(tmp_path, checkpoint([Measurement([short]), Measurement([Model(concurrency=2, metrics=ADD_SUB | {
        "perf_throughput": 5000.0})])]))
    assert [point.is_sound for point in imported.points] == [False, True]
    assert any(remark.startswith("1 of 2 points fail Little's law") for remark in imported.remarks)


def test_what_is_given_fills_gaps_and_never_overrules(tmp_path):
    text = checkpoint([Measurement()])
    [point] = _import(tmp_path, text, precision="fp32", backend="pytorch_libtorch", gpu="NVIDIA TITAN RTX").points
    assert (point.precision, point.backend, point.gpu) == ("fp32", "torchscript", "TITAN_RTX")
    with pytest.raises(InputError, match="instance count is 1, but 2 was given"):
        _import(tmp_path, text, instance_count=2)
    with pytest.raises(InputError, match="gpu is 'TITAN_RTX', but 'T4' was given"):
        _import(tmp_path, text, gpu="Tesla T4")


@pytest.mark.parametrize(("damage", "message"), [
    (lambda text: text[:len(text) // 2], "ends in the middle"),
    (lambda text: text[:-1], "ends in the middle"),
    (lambda text: text.replace('"_value": 0.397', '"_value": "0.397 ms"'), "not a number"),
    (lambda text: text.replace('"_value": 0.397', '"_value": -1'), "not a number that is not negative"),
    (lambda text: text.replace('"_value": 0.397', '"_value": NaN'), "not a number"),
    (lambda text: text.replace('"_value": 0.397', '"_value": 397'), "another unit"),
    (lambda text: text.replace("872.415232", "872415232"), "GPU memory comes to 872,415,232,000,000 bytes"),
    (lambda text: text.replace('"_results"', '"_other"'), "has no '_results'"),
    (lambda text: text.replace("ResultManager", "Other"), "no checkpoint"),
    (lambda text: text.replace('"batch-size": 1', '"batch-size": 1.5'), "is 1.5, not a whole number from 1 on"),
    (lambda text: text.replace('"_model_config_measurements": [', '"_model_config_measurements": [3, '),
     "1 configurations"),
])
def test_what_is_wrong_is_told_with_file_value_and_way_out(tmp_path, damage, message):
    with pytest.raises(InputError, match=message) as caught:
        _import(tmp_path, damage(checkpoint([Measurement()])))
    problem = caught.value.problems[0]
    assert problem.file.endswith("0.ckpt")
    assert problem.hint


def test_a_cut_checkpoint_names_the_line(tmp_path):
    text = checkpoint([Measurement()], indent=2)
    with pytest.raises(InputError) as caught:
        _import(tmp_path, text[: text.index('"perf_throughput"') + 8])
    assert caught.value.problems[0].line == text[: text.index('"perf_throughput"')].count("\n") + 1


def test_the_published_sweep_comes_back_from_a_checkpoint_made_of_it(shared_data, tmp_path):
    """Model Analyzer's sweep on a TITAN RTX (2022), as a checkpoint of that form, gives the published figures."""
    table = shared_data / "triton_published/measurements.csv"
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source_path"] == SWEEP]
    assert len(rows) > 500
    published = [point for point in read_measurements(table) if SWEEP in point.source]
    text = checkpoint([_measured(row) for row in rows], form="2022", idle={UUID: 509.0})
    imported = _import(tmp_path, text, precision="fp32")
    keys = {(point.variant, point.concurrency): point for point in imported.points}
    assert len(keys) == len(rows)
    for row, point in zip(rows, published, strict=True):
        found = keys[row["table_heading"], point.concurrency]
        for name in ("model", "backend", "precision", "gpu", "instance_count", "max_batch_size", "dynamic_batching",
                     "batch_size", "throughput_per_s", "latency_s", "p90_s", "p95_s", "p99_s", "queue_s",
                     "compute_input_s", "compute_infer_s", "compute_output_s", "send_recv_s", "gpu_bytes",
                     "gpu_utilization"):
            assert getattr(found, name) == getattr(point, name), name
        assert found.idle_gpu_bytes == 509_000_000
    unsound = sum(not point.is_sound for point in imported.points)
    assert unsound == sum(row["grade"] == "C" for row in rows) > 100


def _measured(row: dict[str, str]) -> Measurement:
    columns = {"perf_throughput": "throughput_inf_per_s", "perf_latency_avg": "latency_avg_ms",
               "perf_latency_p90": "p90_ms", "perf_latency_p95": "p95_ms", "perf_latency_p99": "p99_ms",
               "perf_client_send_recv": "client_send_recv_ms", "perf_server_queue": "server_queue_ms",
               "perf_server_compute_input": "compute_input_ms", "perf_server_compute_infer": "compute_infer_ms",
               "perf_server_compute_output": "compute_output_ms"}
    groups = [{"count": int(row["instance_count"]), "kind": "KIND_GPU"}] if row["instance_count"] != "1" else []
    batcher = {"dynamicBatching": {}} if row["dynamic_batching"] == "true" else {}
    config = {"platform": "pytorch_libtorch", "maxBatchSize": int(row["max_batch_size"]), "instanceGroup": groups,
              **batcher}
    model = Model(row["model"], row["table_heading"], config,
                  {tag: json.loads(row[name]) for tag, name in columns.items()},
                  int(row["batch_size"]), int(row["concurrency"]))
    return Measurement([model], {UUID: {"gpu_used_memory": json.loads(row["gpu_mem_mb"]),
                                        "gpu_utilization": json.loads(row["gpu_util_pct"])}})
