"""Model Analyzer's and Perf Analyzer's tables and texts give the right points; figures checked by hand.

The samples in tests/data are the tools' own output, from triton-inference-server/model_analyzer and perf_analyzer.
"""

from __future__ import annotations

import shutil
from dataclasses import fields, replace
from pathlib import Path

import pytest
from checkpoints import ADD_SUB, Measurement, Model, checkpoint
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mmesim.errors import InputError
from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers import Given, Imported, read_measurements, read_points, write_measurements

DATA = Path(__file__).parent / "data"
ANALYZER, PERF = DATA / "model_analyzer", DATA / "perf_analyzer"
PLAIN = (PERF / "plain.csv").read_text()
VERBOSE = (PERF / "verbose.csv").read_text()
INFERENCE = (ANALYZER / "single/metrics-model-inference.csv").read_text()
TOGETHER = (ANALYZER / "multi/metrics-model-inference.csv").read_text()
GPU_TABLE = (ANALYZER / "single/metrics-model-gpu.csv").read_text()
SUMMARY = "Inferences/Second vs. Client Average Batch Latency\nConcurrency: 1, 113.2 infer/sec, latency 8939 usec\n"
BLOCK = """\
Request concurrency: 16
  Client:
    Throughput: 975.048 infer/sec
    p50 latency: 32566 usec
    Avg HTTP time: 32805 usec (send/recv 43 usec + response wait 32762 usec)
  Server:
    Inference count: 143606
    Execution count: 71803
    Avg request latency: 17937 usec (overhead 14 usec + queue 15854 usec + compute input 20 usec + compute infer 2040 \
usec + compute output 7 usec)
"""


def _import(tmp_path: Path, text: str, name: str = "file", **context: object) -> Imported:
    path = tmp_path / name
    path.write_text(text)
    return read_points([path], given=Given(**context))  # type: ignore[arg-type]


def _error(tmp_path: Path, text: str, **context: object) -> str:
    with pytest.raises(InputError) as caught:
        _import(tmp_path, text, **context)
    assert all(problem.file and problem.hint for problem in caught.value.problems), caught.value
    return str(caught.value)


# Model Analyzer's CSV ------------------------------------------------------------------------------

def test_inference_table_is_joined_with_the_gpu_and_the_server_only_table():
    imported = read_points([ANALYZER / "single"])
    two, one = imported.points
    assert (two.model, two.variant, two.instance_count, two.max_batch_size) == (
        "add_sub", "add_sub_config_default", 1, 8)
    assert (two.batch_size, two.concurrency, two.throughput_per_s, two.p99_s) == (2, 2, 13205.0, 0.0005)
    assert (two.gpu_bytes, two.gpu_utilization, two.idle_gpu_bytes) == (872_400_000, 0.055, 870_000_000)
    assert (one.batch_size, one.throughput_per_s, one.p99_s, one.gpu_bytes) == (1, 6176.0, 0.0006, None)
    assert (two.source, two.at) == ("single/metrics-model-inference.csv", "line 2")
    assert any("1 of 2 points have no row in the GPU table" in remark for remark in imported.remarks)
    assert any("no mean latency" in remark for remark in imported.remarks)


def test_the_kind_of_a_file_is_in_its_content(tmp_path):
    for name, source in (("a", "inference"), ("b.txt", "gpu"), ("c.json", "only")):
        [path] = (ANALYZER / "single").glob(f"*{source}.csv")
        shutil.copy(path, tmp_path / name)
    found = read_points([tmp_path / name for name in ("b.txt", "c.json", "a")]).points
    assert [replace(point, source="") for point in found] == [
        replace(point, source="") for point in read_points([ANALYZER / "single"]).points]


def test_models_profiled_together_give_a_point_each():
    one, two = read_points([ANALYZER / "multi"]).points
    assert (one.model, one.variant, one.instance_count, one.max_batch_size, one.throughput_per_s, one.p99_s) == (
        "resnet50_libtorch", "resnet50_libtorch_config_5", 2, 1, 184.5, 0.0239)
    assert (two.model, two.variant, two.instance_count, two.max_batch_size, two.throughput_per_s, two.p99_s) == (
        "vgg19_libtorch", "vgg19_libtorch_config_4", 1, 2, 236.5, 0.0174)
    assert one.concurrency == two.concurrency == 4
    assert one.gpu_bytes == two.gpu_bytes == 2_602_600_000
    assert (one.co_located, two.co_located) == (("vgg19_libtorch",), ("resnet50_libtorch",))
    assert one.note == "with vgg19_libtorch, vgg19_libtorch_config_4, concurrency 4"


def test_request_rate_is_an_open_loop_and_throughput_counts_inferences():
    [point] = read_points([ANALYZER / "request_rate"]).points
    assert (point.request_rate_rps, point.concurrency, point.batch_size) == (32.0, None, 2)
    assert point.throughput_per_s == 64.0
    assert (point.instance_count, point.p99_s) == (3, 0.0014)


def test_ensemble_row_has_the_settings_of_its_composing_models():
    [point] = read_points([ANALYZER / "ensemble"]).points
    assert (point.model, point.variant) == ("ensemble_add_sub", "ensemble_add_sub_config_1")
    assert (point.instance_count, point.max_batch_size) == (None, None)
    assert (point.throughput_per_s, point.p99_s) == (2865.9, 0.0037)
    assert point.note == "composed of add_config_0, sub_config_1; instances of the composing models: 1:GPU,2:GPU"


def test_gpu_table_of_another_model_is_not_joined():
    imported = read_points([ANALYZER / "bls"])
    [point] = imported.points
    assert (point.instance_count, point.max_batch_size, point.concurrency, point.gpu_bytes) == (8, 0, 16, None)
    assert "GPU rows of FaceDetectionBLS belong to no inference row: not joined" in imported.remarks


def test_columns_of_2021():
    imported = read_points([ANALYZER / "gpu_id"])
    [point] = imported.points
    assert (point.variant, point.instance_count, point.dynamic_batching, point.preferred_batch_sizes) == (
        "resnet50_libtorch_i0", 1, True, (32,))
    assert (point.throughput_per_s, point.p99_s, point.ram_bytes) == (195.0, 0.011, 2_897_000_000)
    assert (point.gpu_bytes, point.gpu_utilization) == (1_099_000_000, 0.162)
    assert any("4.9 %" in remark for remark in imported.remarks)


def test_other_words_of_2021(tmp_path):
    """Batcher sizes without commas, None for no figure, `Max GPU Memory Usage(MB)` (pull requests 76 and 97)."""
    text = ("Model,Batch,Concurrency,Model Config Path,Instance Group,Dynamic Batcher Sizes,Satisfies Constraints,"
            "Throughput (infer/sec),p99 Latency (ms),RAM Usage (MB)\n"
            "breast,1,1,breast_i3,2/GPU,[5 6],Yes,270.4,4.9,None\n")
    [point] = _import(tmp_path, text).points
    assert (point.preferred_batch_sizes, point.dynamic_batching, point.ram_bytes) == ((5, 6), True, None)
    (tmp_path / "gpu").write_text("Model,GPU ID,Batch,Concurrency,Model Config Path,Max GPU Memory Usage(MB)\n"
                                  "breast,0,1,1,breast_i3,9695.0\n")
    assert read_points([tmp_path]).points[0].gpu_bytes == 9695 * 2**20


def test_first_releases_wrote_mib_and_one_table():
    """279 + 23940 = 24219 MiB is the whole TITAN RTX; the maximum of the utilization is no mean."""
    [point] = read_points([ANALYZER / "first_release.csv"]).points
    assert (point.model, point.throughput_per_s, point.concurrency) == ("classification_chestxray_v1", 50.8, 1)
    assert (point.gpu_bytes, point.idle_gpu_bytes, point.gpu_utilization) == (5215 * 2**20, 279 * 2**20, None)


def test_chosen_columns_are_found_by_name(tmp_path):
    text = ("Throughput (infer/sec),Avg Latency (ms),p90 Latency (ms),p95 Latency (ms),Client Send/Recv (ms),Server "
            "Queue time (ms),Server Compute Input time (ms),Server Compute Infer time (ms),Server Compute Output "
            "time (ms),"
            "Concurrency,Batch,Model,backend_parameter/x\n2508.04,0.397,0.463,0.488,0.004,0.019,0.035,0.064,0.042,1,1,add_sub,7\n")
    [point] = _import(tmp_path, text).points
    assert (point.latency_s, point.p90_s, point.p95_s, point.send_recv_s) == (0.000397, 0.000463, 0.000488, 0.000004)
    assert (point.queue_s, point.compute_input_s, point.compute_infer_s, point.compute_output_s) == (
        0.000019, 0.000035, 0.000064, 0.000042)
    assert (point.variant, point.instance_count, point.gpu_bytes) == ("", None, None)


def test_a_cpu_group_without_gpu_rows_is_a_cpu(tmp_path):
    [point, _] = _import(tmp_path, INFERENCE.replace("1:GPU", "2:CPU")).points
    assert (point.gpu, point.instance_count) == ("cpu", 2)
    [point, _] = _import(tmp_path, INFERENCE.replace("1:GPU", "1:GPU+2:CPU")).points
    assert (point.gpu, point.instance_count) == ("", 3)


def test_no_is_a_valid_measurement(tmp_path):
    assert len(_import(tmp_path, INFERENCE.replace("Yes", "No")).points) == 2


def test_columns_that_are_missing_are_given_or_derived(tmp_path):
    """No Model, no Batch: the model is that of the variant, the batch size that of perf_analyzer or of the caller."""
    text = "Concurrency,Model Config Path,Throughput (infer/sec),Avg Latency (ms)\n8,add_sub_config_3,1000.0,8.1\n"
    imported = _import(tmp_path, text)
    assert [(point.model, point.batch_size) for point in imported.points] == [("add_sub", 1)]
    assert any("taken as 1" in remark for remark in imported.remarks)
    assert "give --batch-size 4" in _error(tmp_path, text.replace("1000.0", "4000.0"))
    bare = text.replace(",Model Config Path", "").replace(",add_sub_config_3", "")
    assert "does not tell which model" in _error(tmp_path, bare)
    assert _import(tmp_path, bare, model="x").points[0].model == "x"


# Perf Analyzer's CSV -------------------------------------------------------------------------------

def test_plain_perf_csv_is_in_microseconds():
    imported = read_points([PERF / "plain.csv"], given=Given(model="inception", instance_count=1))
    one, three, _ = imported.points
    assert (one.model, one.batch_size, one.concurrency, one.throughput_per_s) == ("inception", 1, 1, 69.2)
    assert (one.p50_s, one.p90_s, one.p95_s, one.p99_s) == (0.013891, 0.018795, 0.019753, 0.021018)
    assert (one.network_s, one.queue_s, one.send_recv_s) == (0.002148, 0.000064, 0.000225)
    assert (one.compute_input_s, one.compute_infer_s, one.compute_output_s) == (0.000206, 0.011781, 0.000019)
    assert one.latency_s == pytest.approx(0.014443)  # 225 + 2148 + 64 + 206 + 11781 + 19 + 0
    assert three.littles_law == pytest.approx(1.0, abs=0.01)
    assert any("taken as 1" in remark for remark in imported.remarks)


def test_verbose_perf_csv_has_gpu_cells_and_a_comma_too_many():
    [point] = read_points([PERF / "verbose.csv"], given=Given(model="add_sub", batch_size=1)).points
    assert (point.concurrency, point.throughput_per_s, point.latency_s) == (2, 5868.79, 0.000339)
    assert (point.network_s, point.send_recv_s, point.p99_s) == (0.000223, 0.000005, 0.000598)
    assert (point.gpu_bytes, point.gpu_utilization) == (872_415_232, 0.045)


def test_perf_csv_of_two_gpus(tmp_path):
    text = VERBOSE.replace(":0.045;", ":0.045;GPU-b:0.9;").replace(":872415232;", ":872415232;GPU-b:2000000000;")
    [point] = _import(tmp_path, text, model="m").points
    assert (point.gpu_bytes, point.gpu_utilization) == (2_000_000_000, 0.9)


def test_request_rate_first_and_columns_that_people_put_in_front(tmp_path):
    [point, *_] = _import(tmp_path, PLAIN.replace("Concurrency,", "Request Rate,"), model="m").points
    assert (point.request_rate_rps, point.concurrency) == (1.0, None)
    header, *rows = PLAIN.splitlines()
    front = "\n".join(["model,batch_size," + header, *("yolo,4," + row for row in rows)])
    point = _import(tmp_path, front.replace("69.2", "276.8")).points[0]
    assert (point.model, point.batch_size, point.throughput_per_s) == ("yolo", 4, 276.8)
    assert point.is_sound
    assert "model is 'yolo', but 'resnet' was given" in _error(tmp_path, front, model="resnet")
    assert "batch size is 4, but 8 was given" in _error(tmp_path, front, batch_size=8)


def test_what_a_perf_csv_does_not_tell_must_be_given(tmp_path):
    assert "does not tell which model was measured" in _error(tmp_path, PLAIN)
    eightfold = PLAIN.replace("69.2", "553.6").replace("84.2", "673.6")
    assert "give --batch-size 8" in _error(tmp_path, eightfold, model="m")
    assert all(point.is_sound for point in _import(tmp_path, eightfold, model="m", batch_size=8).points)
    context = {"model": "m", "gpu": "T4", "precision": "fp16", "backend": "tensorrt_plan", "input": "224x224"}
    point = _import(tmp_path, PLAIN, **context).points[0]
    assert (point.gpu, point.precision, point.backend, point.input) == ("T4", "fp16", "tensorrt", "224x224")


# Units ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("text", "old", "new", "message"), [
    (INFERENCE, "p99 Latency (ms)", "p99 Latency (s)", "column 'p99 latency' is in s"),
    (INFERENCE, "p99 Latency (ms)", "p99 Latency", "column 'p99 latency' is in no unit"),
    (INFERENCE, "Throughput (infer/sec)", "Throughput (req/sec)", "is in req/sec"),
    (GPU_TABLE, "GPU Memory Usage (MB)", "GPU Memory Usage (GiB)", "column 'gpu memory usage' is in GiB"),
    (PLAIN, "p50 latency", "p50 latency (ms)", "column 'p50 latency' is in ms"),
    (PLAIN, "13891,18795,19753,21018", "13.891,18.795,19.753,21.018", "cannot be of one measurement"),
    (PLAIN, "13891,18795,19753,21018", "13891,18795,19753,21018000000", "cannot be of one measurement"),
    (VERBOSE, ",339,", ",0.339,", "another unit"),
    (VERBOSE, ":872415232;", ":872;", "GPU memory comes to 872 bytes"),
    (VERBOSE, ":0.045;", ":4.5;", "utilization comes to 4.5 of 1"),
])
def test_other_units_are_errors(tmp_path, text, old, new, message):
    assert old in text
    assert message in _error(tmp_path, text.replace(old, new), model="add_sub")


def test_latencies_in_ms_contradict_littles_law(tmp_path):
    header, *rows = PLAIN.splitlines()
    in_ms = [",".join(cell if n < 2 else str(int(cell) / 1000) for n, cell in enumerate(row.split(",")))
             for row in rows]
    message = _error(tmp_path, "\n".join([header, *in_ms]) + "\n", model="m")
    assert "throughput 69.2/s x mean latency 1.4443e-05 s = 0.0009995, but 1 x 1 inferences were in flight" in message
    assert ":2:" in message


def test_no_published_row_is_taken_for_a_mistake_in_units(shared_data):
    imported = read_points([shared_data / "triton_published/measurements.csv"])
    assert len(imported.points) > 4000


# Console text and report tables --------------------------------------------------------------------

def test_console_block_and_summary_of_one_load_are_one_point(tmp_path):
    text = "Batch size: 2\n" + BLOCK + "Inferences/Second vs. Client p95 Batch Latency\n" + (
        "Concurrency: 2, throughput: 955.708 infer/sec, latency 4311 usec\n"
        "Concurrency: 16, throughput: 975.048 infer/sec, latency 34207 usec\n")
    two, sixteen = sorted(_import(tmp_path, text, model="m").points, key=lambda point: point.concurrency)
    assert (two.concurrency, two.throughput_per_s, two.p95_s, two.latency_s) == (2, 955.708, 0.004311, None)
    assert (sixteen.throughput_per_s, sixteen.batch_size) == (975.048, 2)
    assert (sixteen.p50_s, sixteen.latency_s) == (0.032566, 0.032805)
    assert (sixteen.send_recv_s, sixteen.queue_s) == (0.000043, 0.015854)
    assert (sixteen.compute_input_s, sixteen.compute_infer_s, sixteen.compute_output_s) == (0.00002, 0.00204, 0.000007)
    assert sixteen.network_s == pytest.approx(0.014841)  # 32805 - 43 - 15854 - 20 - 2040 - 7
    assert sixteen.note == "mean executed batch 2"
    assert sixteen.is_sound


def test_console_block_tells_that_the_batch_was_larger(tmp_path):
    assert "give --batch-size 2" in _error(tmp_path, BLOCK, model="m")


def test_older_summary_and_the_command_above_it(tmp_path):
    command = "$ perf_analyzer -m inception_graphdef \\\n    -b 4 -i grpc --concurrency-range 1:4\n"
    [point] = _import(tmp_path, command + SUMMARY.replace("113.2", "452.8")).points
    assert (point.model, point.batch_size, point.scenario) == ("inception_graphdef", 4, "online")
    assert (point.concurrency, point.throughput_per_s, point.latency_s) == (1, 452.8, 0.008939)


def test_quoted_bulleted_and_wrapped_console_text(tmp_path):
    wrapped = BLOCK.replace(" + response wait", "\n + response wait").replace("compute infer", "compute\ninfer")
    quoted = "\n".join(f"> * {line}" for line in wrapped.splitlines())
    [point] = _import(tmp_path, quoted, model="m", batch_size=2).points
    assert (point.send_recv_s, point.compute_infer_s) == (0.000043, 0.00204)


def test_several_runs_in_one_text_keep_their_models_and_batches(tmp_path):
    text = "".join(f"perf_analyzer -m {model} {batch}\n{SUMMARY.replace('113.2', rate)}"
                   for model, batch, rate in (("a", "-b 4", "452.8"), ("b", "", "113.0"), ("c", "-b 2", "226.4")))
    points = _import(tmp_path, text).points
    assert sorted((point.model, point.batch_size) for point in points) == [("a", 4), ("b", 1), ("c", 2)]
    assert "batch size is 4, but 8 was given" in _error(tmp_path, text, batch_size=8)


def test_request_rates_in_console_text(tmp_path):
    text = SUMMARY.replace("Concurrency: 1,", "Request Rate: 2048.00, throughput:").replace("113.2", "2045.52")
    [point] = _import(tmp_path, text, model="m").points
    assert (point.request_rate_rps, point.concurrency, point.throughput_per_s) == (2048.0, None, 2045.52)


def test_composing_models_do_not_overwrite_the_whole(tmp_path):
    text = """Request concurrency: 1
      Throughput: 200.723 infer/sec
      Avg latency: 4981 usec (standard deviation 204 usec)
      p99 latency: 5441 usec
      Avg gRPC time: 4978 usec (marshal 3 usec + response wait 4970 usec + unmarshal 5 usec)
      Avg request latency: 3951 usec (overhead 46 usec + queue 31 usec + compute 3874 usec)
      Composing models:
      centernet, version:
        Avg request latency: 3512 usec (overhead 14 usec + queue 11 usec + compute infer 3370 usec)
      Server Prometheus Metrics:
        Avg GPU Utilization:
          GPU-6d31bfa8-5c82-a4ec-9598-ce41ea72b7d2 : 70.2407%
        Max GPU Memory Usage:
          GPU-6d31bfa8-5c82-a4ec-9598-ce41ea72b7d2 : 3315597312 bytes
        Total GPU Memory:
          GPU-6d31bfa8-5c82-a4ec-9598-ce41ea72b7d2 : 25438126080 bytes
    """
    [point] = _import(tmp_path, text, model="m").points
    assert (point.latency_s, point.queue_s, point.compute_s) == (0.004981, 0.000031, 0.003874)
    assert point.send_recv_s == 0.000008
    assert (point.gpu_bytes, point.gpu_utilization) == (3315597312, 0.702407)


def test_report_tables_of_one_measurement_are_one_point(tmp_path):
    text = """
| Model Config Name | Max Batch Size | Dynamic Batching | Total Instance Count | p99 Latency (ms) | Throughput (infer/sec) | Max GPU Memory Usage (MB) | Average GPU Utilization (%) |
| :---: | :----: | :---: | :----: | :---: | :----:   | :---: | :---: |
| falcon7b_config_7 | 16 | Enabled | 3:GPU | 1412.581 | 71.944 | 46226 | 100.0 |

| Request Concurrency | p99 Latency (ms) | Client Response Wait (ms) | Server Queue (ms) | Server Compute Input (ms) | Server Compute Infer (ms) | Throughput (infer/sec) | Max GPU Memory Usage (MB) | Average GPU Utilization (%) |
|---|---|---|---|---|---|---|---|---|
| 64 | 1412.581 | 896.924 | 227.108 | 0.157 | 667.757 | 71.944 | 46226.47296 | 100.0 |
"""  # noqa: E501
    imported = _import(tmp_path, text)
    [point] = imported.points
    assert (point.model, point.variant, point.instance_count, point.max_batch_size, point.dynamic_batching) == (
        "falcon7b", "falcon7b_config_7", 3, 16, True)
    assert (point.throughput_per_s, point.p99_s, point.gpu_bytes, point.gpu_utilization) == (
        71.944, 1.412581, 46_226_000_000, 1.0)
    assert any("counted once" in remark for remark in imported.remarks)
    [_, detailed] = text.strip().split("\n\n")
    [point] = _import(tmp_path, detailed, model="falcon7b").points
    assert (point.concurrency, point.queue_s, point.compute_infer_s) == (64, 0.227108, 0.667757)
    assert point.gpu_bytes == 46_226_472_960


def test_older_summary_with_ram(tmp_path):
    text = ("| Model Config Name | Max Batch Size | Dynamic Batching | Instance Count | p99 Latency (ms) | Throughput "
            "(infer/sec) | Max CPU Memory Usage (MB) | Max GPU Memory Usage (MB) | Average GPU Utilization (%) |\n"
            "|--|\n"
            "| densenet_onnx_config_default | 0 | Disabled | 1/GPU | 12.658 | 167.549 | 1000 | 3116 | 51.3 |\n")
    [point] = _import(tmp_path, text).points
    assert (point.model, point.instance_count, point.dynamic_batching, point.ram_bytes) == (
        "densenet_onnx", 1, False, 1_000_000_000)


def test_result_table_with_bars_as_in_issue_threads(tmp_path):
    text = ("Model | Batch | Concurrency | Model Config Path | Instance Group | Server Queue time (ms) | Throughput "
            "(infer/sec) | p99 Latency (ms)\n-- | -- | -- | -- | -- | -- | -- | --\n"
            "model_1 | 128 | 8 | model_1_config_2 | 4/GPU | 1.9 | 21376.0 | 47.1\n")
    [point] = _import(tmp_path, text).points
    assert (point.model, point.variant, point.batch_size, point.concurrency, point.instance_count) == (
        "model_1", "model_1_config_2", 128, 8, 4)
    assert (point.queue_s, point.throughput_per_s, point.p99_s) == (0.0019, 21376.0, 0.0471)


# Several files -------------------------------------------------------------------------------------

def test_a_checkpoint_is_preferred_over_the_csv_in_a_folder(tmp_path):
    shutil.copytree(ANALYZER / "single", tmp_path / "results")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/0.ckpt").write_text(checkpoint([Measurement()]))
    (tmp_path / "plan.onnx").write_bytes(b"\x08\x00model")
    (tmp_path / "config.pbtxt").write_text("name: 'add_sub'")
    imported = read_points([tmp_path])
    assert [point.latency_s for point in imported.points] == [0.000397, None, None]
    assert not any("left aside" in remark for remark in imported.remarks)  # these CSV files are of other loads
    loads = [Measurement([Model(batch=2, concurrency=2, metrics=ADD_SUB | {"perf_throughput": 13204.96})]),
             Measurement([Model(batch=1, concurrency=2, metrics=ADD_SUB | {"perf_throughput": 4800.0})])]
    (tmp_path / "checkpoints/0.ckpt").write_text(checkpoint(loads))
    imported = read_points([tmp_path])
    assert [point.throughput_per_s for point in imported.points] == [13204.96, 4800.0]
    assert "metrics-model-inference.csv: 2 rows left aside, the checkpoint tells more of them" in imported.remarks


def test_a_measurement_in_two_files_is_counted_once(tmp_path):
    old, new = checkpoint([Measurement()]), checkpoint([Measurement(), Measurement([Model(concurrency=2)])])
    for name, text in (("0.ckpt", old), ("1.ckpt", new), ("copy", new)):
        (tmp_path / name).write_text(text)
    rounded = INFERENCE.splitlines()[0] + "\nadd_sub,1,1,add_sub_config_default,1:GPU,8,Yes,2508.0,0.5\n"
    (tmp_path / "x.csv").write_text(rounded)
    paths = [tmp_path / name for name in ("x.csv", "0.ckpt", "1.ckpt", "copy", "copy")]
    imported = read_points(paths)
    assert [(point.concurrency, point.latency_s) for point in imported.points] == [(1, 0.000397), (2, 0.000397)]
    assert sum("counted once" in remark for remark in imported.remarks) == 3
    (tmp_path / "x.csv").write_text(rounded.replace("2508.0", "2600.0"))
    assert len(read_points(paths).points) == 3


def test_repeated_rows_of_one_file_are_two_measurements(tmp_path):
    assert len(_import(tmp_path, PLAIN + PLAIN.splitlines()[1] + "\n", model="m").points) == 4


# What is wrong -------------------------------------------------------------------------------------

@pytest.mark.parametrize(("text", "message"), [
    ("", "is empty"),
    ("  \n\n", "is empty"),
    ("hello\nworld\n", "of no known kind"),
    ("a,b,c\n1,2,3\n", "of no known kind"),
    ("{}", "is JSON, but no checkpoint"),
    ('{"a": 1', "ends in the middle"),
    (INFERENCE.splitlines()[0], "a header and no rows"),
    (GPU_TABLE, "GPU rows without an inference table"),
    (INFERENCE[:-25], "the row has"),
    (INFERENCE.replace("13205.0", "13205,0"), "the row has 10 cells, the header 9"),
    (INFERENCE.replace("13205.0", "fast"), "throughput is 'fast'"),
    (INFERENCE.replace("13205.0", "-3"), "throughput is '-3'"),
    (INFERENCE.replace("13205.0", "nan"), "throughput is 'nan'"),
    (INFERENCE.replace("13205.0", "1e999"), "throughput is '1e999'"),
    (INFERENCE.replace("1:GPU", "one"), "instance group is 'one'"),
    (INFERENCE.replace("add_sub,2", '"add_sub,2'), "not a whole CSV"),
    (INFERENCE.replace("Batch,", "Concurrency,"), "is there twice"),
    (TOGETHER.replace("[184.5,236.5]", "[184.5]"), "the row is of 2 models"),
    (TOGETHER.replace('"4,4"', '"4"'), "the row is of 2 models"),
    (TOGETHER.replace("421.0, [184.5,236.5]", "421.0"), "total, [one figure for each]"),
    (PLAIN.replace("69.2,225", "69.2"), "the row has 12 cells, the header 13"),
    (VERBOSE.replace(":0.045;", "0.045;"), "UUID:value;"),
    (SUMMARY.replace("8939 usec", "8.9 msec"), "latency is '8.9 msec'"),
    ("Request concurrency: 16\n Throughput: 3 infer/sec\n", "no whole measurement"),
])
def test_junk_is_told_with_file_and_way_out(tmp_path, text, message):
    assert message in _error(tmp_path, text, model="add_sub" if "Inferences/Second" in text else "")


def test_binary_and_missing_files(tmp_path):
    (tmp_path / "model.plan").write_bytes(b"\x00\x01\x02\xff")
    with pytest.raises(InputError, match="is not text"):
        read_points([tmp_path / "model.plan"])
    with pytest.raises(InputError, match="holds no measurement"):
        read_points([tmp_path])
    with pytest.raises(InputError, match="no such file"):
        read_points([tmp_path / "nowhere"])


def test_all_problems_come_at_once(tmp_path):
    (tmp_path / "one").write_text("hello")
    (tmp_path / "two").write_text(INFERENCE.replace("13205.0", "x").replace("6176.0", "y"))
    with pytest.raises(InputError) as caught:
        read_points([tmp_path / "one"])
    assert len(caught.value.problems) == 1
    with pytest.raises(InputError) as caught:
        read_points([tmp_path / "two"])
    assert [problem.line for problem in caught.value.problems] == [2, 3]


def test_a_last_line_without_end_is_told(tmp_path):
    imported = _import(tmp_path, PLAIN.rstrip("\n")[:-2], model="m")
    assert any("no line end" in remark for remark in imported.remarks)


# The table -----------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=12)
NAME = st.from_regex(r"[a-z][a-z0-9_.-]{0,10}", fullmatch=True)
FIGURE = st.none() | st.floats(0, 1e6, allow_nan=False).filter(lambda value: value == 0 or value > 1e-12)
BYTES = st.none() | st.integers(0, 10**13)
POINTS = st.builds(
    OperatingPoint, model=NAME, source=NAME, at=NAME, batch_size=st.integers(1, 512),
    instance_count=st.none() | st.integers(0, 99), max_batch_size=st.none() | st.integers(0, 512),
    concurrency=st.none() | st.integers(1, 4096), dynamic_batching=st.none() | st.booleans(),
    preferred_batch_sizes=st.lists(st.integers(1, 64), max_size=3).map(tuple),
    co_located=st.lists(NAME, max_size=3).map(tuple),
    **{field.name: FIGURE for field in fields(OperatingPoint) if field.name.endswith(("_s", "_rps", "utilization"))},
    **dict.fromkeys(("gpu_bytes", "idle_gpu_bytes", "ram_bytes"), BYTES),
    **dict.fromkeys(("backend", "precision", "gpu", "input", "variant", "scenario", "grade", "note"), TEXT))


@settings(deadline=None, max_examples=50, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinks too slowly
@given(st.lists(POINTS, min_size=1, max_size=4))
def test_what_is_written_is_read_back_the_same(tmp_path_factory, points):
    path = tmp_path_factory.getbasetemp() / "points.csv"
    path.write_text(write_measurements(points), encoding="utf-8")
    assert read_measurements(path) == points


def test_a_model_may_be_called_model(tmp_path):
    points = [OperatingPoint(model="model", variant="None", throughput_per_s=1.0, source="a", at="b"),
              OperatingPoint(model="model", throughput_per_s=0.0, source="a", at="c")]
    (tmp_path / "points.csv").write_text(write_measurements(points))
    assert read_measurements(tmp_path / "points.csv") == points


def test_the_published_table_survives_being_written(shared_data, tmp_path):
    points = read_measurements(shared_data / "triton_published/measurements.csv")
    (tmp_path / "points.csv").write_text(write_measurements(points), encoding="utf-8")
    assert read_measurements(tmp_path / "points.csv") == points


# Damaged files -------------------------------------------------------------------------------------

SAMPLES = [INFERENCE, GPU_TABLE, PLAIN, VERBOSE, SUMMARY, BLOCK, checkpoint([Measurement()]),
           checkpoint([Measurement([Model(), Model("b", "b_config_0")])], form="2022"),
           TOGETHER, (ANALYZER / "first_release.csv").read_text(),
           (ANALYZER / "gpu_id/metrics-model-inference.csv").read_text(),
           write_measurements([OperatingPoint(model="m", throughput_per_s=3.5, preferred_batch_sizes=(4, 8))])]


PIECES = [b"", b",", b'"', b"\n", b"{", b"]", b"null", b"-1", b"1e400", b"nan", b"0", b"usec", b"\xff", b"\x00", b"[[[",
          b"true", b"|"]


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SAMPLES)).encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=3))
        match draw(st.sampled_from(["cut", "put", "replace", "drop"])):
            case "cut":
                del data[at:]
            case "put":
                data[at:at] = piece
            case "replace":
                data[at:at + len(piece)] = piece
            case "drop":
                del data[at:at + draw(st.integers(1, 40))]
    return bytes(data)


@settings(deadline=None)
@given(_damaged(), st.sampled_from(["", "add_sub"]))
def test_a_damaged_file_gives_points_or_one_clear_error(tmp_path_factory, data, model):
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data)
    try:
        points = read_points([path], given=Given(model=model)).points
    except InputError as error:
        assert error.problems
        assert all(problem.message and problem.file for problem in error.problems)
    else:
        assert all(point.model and point.batch_size >= 1 for point in points)
        write_measurements(points)
