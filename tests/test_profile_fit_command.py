"""`mmesim profile fit` and `scale` as commands: what they read, leave out, print, write and refuse."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from program import mmesim
from test_profile_fit import ALONE, known_fit, loaded, offline

from mmesim.calibrate.serving.fitting import fittable
from mmesim.calibrate.serving.scaled import scaled_name, scaled_text
from mmesim.calibrate.serving.scaling import Curve, curves_of_points, curves_of_profiles, scaling, scaling_table
from mmesim.calibrate.serving.written import fitted_numbers, profile_name, with_keys
from mmesim.profile import load_profile, profile_names
from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers import write_measurements

DATA = Path(__file__).resolve().parent / "data"
KEYS = ("launch_s", "copy_s", "gap_s", "interference_k", "frontend_s", "network_s")


def truth(concurrencies: tuple[int, ...] = (2, 4, 8, 16)) -> list[OperatingPoint]:
    """Points of a server that is just as the fit's model says."""
    fit = known_fit().fit
    points = [offline(batch, seconds) for batch, seconds in ALONE.items()]
    for concurrency in concurrencies:
        seen = fit.at(concurrency, rounds=120)
        points.append(replace(loaded(concurrency, seen.latency_s), throughput_per_s=float(seen.request_rps),
                              queue_s=seen.queue_s, compute_infer_s=seen.compute_s, p95_s=seen.p95_s))
    return points


@pytest.fixture(scope="module")
def points_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("points") / "points.csv"
    path.write_text(write_measurements(truth()), encoding="utf-8")
    return path


# The command ---------------------------------------------------------------------------------------------------------

def test_fit_prints_numbers_intervals_points_and_writes_a_profile(points_csv, tmp_path):
    done = mmesim("profile", "fit", str(points_csv), "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("95 % interval", "interference_k", "frontend_threads", "given", "what measures it", "--only memory"):
        assert word in done.stdout
    profile = load_profile(tmp_path / "out" / "m-tensorrt-fp16-t4.yaml")
    assert profile.service_s(1) == pytest.approx(4.5e-3, rel=0.15), "S(1), launch and copy"
    assert profile.gpu_bytes is profile.artifact_bytes is profile.load_time_s is None
    origin = profile.provenance("gap")
    assert origin.basis == "estimated"
    assert (origin.source, origin.at) == ("bench", "load 2, load 4")
    assert "95 %:" in origin.note


def test_given_points_are_met_and_the_others_marked(points_csv, tmp_path):
    """The truth is the fit's own model, so that all its points can be explained at once."""
    few = json.loads(mmesim("profile", "fit", str(points_csv), "--json", cwd=tmp_path).stdout)["groups"][0]
    assert [point["given"] for point in few["points"]] == [True, True, False, False]
    assert set(few["estimates"]) == set(KEYS)
    assert all(one["low"] <= one["value"] <= one["high"] for one in few["estimates"].values())
    every = json.loads(mmesim("profile", "fit", str(points_csv), "--given", "4", "--json", cwd=tmp_path).stdout)
    for point in every["groups"][0]["points"]:
        for figure in ("throughput_per_s", "latency_s"):
            assert point["fitted"][figure] == pytest.approx(point["measured"][figure], rel=0.05)


def test_what_perf_analyzer_wrote_is_fitted(tmp_path):
    """A sweep over concurrencies has no offline row: one request in flight stands for it."""
    head = (DATA / "perf_analyzer" / "plain.csv").read_text(encoding="utf-8").splitlines()[0]
    assert head.startswith("Concurrency,Inferences/Second,Client Send")
    rows = [f"{load},{rate},5,200,{queue},50,3600,50,5,{mean},{mean},{mean},{mean}"
            for load, rate, queue, mean in ((1, 255.7, 0, 3910), (2, 270, 3500, 7407), (4, 275, 10600, 14545))]
    (tmp_path / "perf.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    done = mmesim("profile", "fit", "perf.csv", "--model", "m", "--gpu", "T4", "--backend", "onnxruntime", "--json",
                  cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (group,) = json.loads(done.stdout)["groups"]
    assert group["service_s"] == {"1": pytest.approx(3.65e-3)}
    assert [point["concurrency"] for point in group["points"]] == [2, 4]


@pytest.mark.parametrize(("points", "options", "words"), [
    ([loaded(2, 5e-3), loaded(4, 9e-3)], (), "--concurrency-range 1"),
    ([offline(1, 4e-3)], ("--group", "nobody"), "no operating points of such a group"),
    ([offline(1, 4e-3, gpu="")], (), "--gpu"),
    ([offline(1, 4e-3), offline(1, 2e-3, gpu="L4")], ("-o", "one.yaml"), "2 groups do not go into one profile"),
])
def test_too_little_is_answered_with_what_is_missing(tmp_path, points, options, words):
    (tmp_path / "points.csv").write_text(write_measurements(points), encoding="utf-8")
    done = mmesim("profile", "fit", "points.csv", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr


# What is fitted ------------------------------------------------------------------------------------------------------

def test_rows_that_cannot_be_true_or_belong_elsewhere_are_left_out_with_a_remark():
    points = [offline(1, 4e-3), loaded(2, 6e-3), loaded(4, 9e-3), loaded(8, 1e-3),
              loaded(2, 9e-3, co_located=("other",)), loaded(4, 20e-3, instance_count=1)]
    points[3] = replace(points[3], throughput_per_s=100.0)
    (group,), remarks = fittable(points)
    assert [point.concurrency for point in group.loaded] == [2, 4]
    text = " ".join(remarks)
    assert "1 of 6 points, that fail Little's law" in text
    assert "1 of 6 points, beside other models" in text
    assert "1 of 6 points, of other settings" in text


def test_one_request_in_flight_stands_for_offline_points_only_where_there_are_none():
    online = replace(offline(1, 4e-3), scenario="online")
    (swept,), _ = fittable([online, loaded(2, 6e-3), loaded(4, 9e-3)])
    assert [len(swept.alone), [point.concurrency for point in swept.loaded]] == [1, [2, 4]]
    (both,), _ = fittable([offline(1, 3.9e-3), online, loaded(2, 6e-3)])
    assert both.alone == (offline(1, 3.9e-3),)
    assert [point.concurrency for point in both.loaded] == [1, 2]


def test_without_points_under_load_there_is_the_curve_alone():
    found = replace(known_fit(), fit=None)
    numbers = fitted_numbers(found)
    assert numbers["latency"]["basis"] == "measured"
    assert [row["infer"] for row in numbers["latency"]["batches"]] == ["4ms", "5ms", "7ms", "12ms", "22ms"]
    assert numbers["overhead"]["value"] == "0.5ms"
    assert not {"gap", "frontend", "interference_k", "host_cpu", "gpu_share"} & set(numbers)


def test_times_under_load_are_the_curve_plus_launch_and_copies_of_requests():
    numbers = fitted_numbers(known_fit(items=4))
    times = {row["batch"]: row["infer"] for row in numbers["latency"]["batches"]}
    assert times[4] == "7.5ms", "7 + 0.4 + 0.1 for one request of four"
    assert times[16] == "22.8ms", "22 + 0.4 + 4 x 0.1"
    assert numbers["gap"]["value"] == "1.9ms", "1.5 + 0.4"
    assert numbers["gap_per_item"]["value"] == "0.025ms"


def test_keys_stand_for_references_and_rules_keep_their_names():
    profile = {"a": {"value": 1, "source": "x"}, "b": {"c": {"source": "rule: r"}, "d": [{"source": "x"}]}}
    assert with_keys(profile, {"rule: r": "rule-r"}) == {
        "a": {"value": 1, "source": "s1"}, "b": {"c": {"source": "rule-r"}, "d": [{"source": "s1"}]},
        "sources": {"s1": "x", "rule-r": "rule: r"}}


def test_name_is_a_files_name():
    group = replace(known_fit().group, model="My Model/2", backend="tf savedmodel", input="seqlen=128")
    assert profile_name(group) == "my-model-2-tf-savedmodel-fp16-t4-seqlen-128"


# From one GPU to another ---------------------------------------------------------------------------------------------

def curve(model: str, gpu: str, times: dict[int, float], backend: str = "tensorrt") -> Curve:
    return Curve(model, f"{model}/{backend}", backend, "fp16", gpu, times)


def test_ratio_of_models_that_scale_alike_is_theirs_and_without_error():
    pairs = [curve(model, gpu, {b: s * factor * b for b in (1, 2, 4)})
             for model, s in (("a", 1e-3), ("b", 3e-3)) for gpu, factor in (("T4", 1.0), ("L4", 0.5))]
    rule = scaling(pairs, "T4", "L4", "tensorrt", "fp16")
    assert rule.line.ratio(2e-3) == pytest.approx(0.5)
    assert rule.median_error == pytest.approx(0.0, abs=1e-9)
    assert rule.models == ("a", "b") and rule.points == 6
    assert "2 models" in rule.described()


def test_error_is_that_of_models_left_out():
    """One model gains twice, the other four times: each predicts the other's time wrong by a factor of two."""
    pairs = [curve("a", "T4", {1: 1e-3}), curve("a", "L4", {1: 0.5e-3}), curve("b", "T4", {1: 1e-3}),
             curve("b", "L4", {1: 0.25e-3})]
    rule = scaling(pairs, "T4", "L4", "tensorrt", "fp16")
    assert rule.line.ratio(1e-3) == pytest.approx(math.sqrt(0.5 * 0.25), rel=1e-6)
    assert rule.median_error == pytest.approx((0.5 + 1.0) / 2)


def test_one_model_gives_a_rule_without_a_known_error_and_none_gives_none():
    pairs = [curve("a", "T4", {1: 1e-3}), curve("a", "L4", {1: 0.5e-3})]
    rule = scaling(pairs, "T4", "L4", "torchscript", "fp16")
    assert (rule.scope, rule.median_error) == ("fp16", None)
    assert "not known" in rule.described()
    assert scaling(pairs, "T4", "A100", "tensorrt", "fp16") is None
    assert scaling_table(pairs) == []


def test_rule_from_points_and_from_profiles_is_the_same_thing():
    points = [offline(1, s * factor, model=model, gpu=gpu) for model, s in (("a", 1e-3), ("b", 2e-3))
              for gpu, factor in (("T4", 1.0), ("L4", 0.5))]
    assert scaling(curves_of_points(points), "T4", "L4", "tensorrt", "fp16").line.ratio(1e-3) == pytest.approx(0.5)


def test_errors_over_the_shipped_profiles_are_of_the_published_size():
    """What docs say of the rule: a median of the pairs' median errors of about 15 %, far more in the worst pairs."""
    rows = scaling_table(curves_of_profiles(map(load_profile, profile_names())))
    medians = sorted(row["median_error"] for row in rows)
    assert len(rows) > 80
    assert 0.10 < medians[len(medians) // 2] < 0.20
    assert medians[-1] > 0.4


def test_scaled_profile_says_of_every_number_that_it_was_not_measured(tmp_path):
    t4 = load_profile("tft-tensorrt-t4")
    curves = curves_of_profiles(map(load_profile, ["tft-tensorrt-t4", "tft-tensorrt-a100"]))
    rule = scaling(curves, "T4", "A100", "tensorrt", "fp16")
    path = tmp_path / "scaled.yaml"
    path.write_text(scaled_text(t4, rule, "scaled"), encoding="utf-8")
    scaled = load_profile(path)
    assert scaled.gpu == "A100"
    assert scaled.service_s(1) == pytest.approx(t4.service_s(1) * rule.line.ratio(t4.service_s(1)), rel=1e-4)
    assert scaled.service_s(1024) == pytest.approx(t4.service_s(1024) * rule.line.ratio(t4.service_s(1024)), rel=1e-4)
    assert scaled.provenance("latency").basis == scaled.provenance("gap").basis == "rule"
    assert "not known" in scaled.provenance("latency").source
    assert scaled.provenance("framework_base_bytes").basis == "estimated"
    assert scaled.gpu_bytes == t4.gpu_bytes
    assert scaled_name(t4, "A100") == "tft-tensorrt-a100-from-t4"


def test_scale_command_writes_a_profile_and_refuses_unknown_gpus(tmp_path):
    done = mmesim("profile", "scale", "bert-large-pytorch-t4", "--to", "L4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "error on left-out models" in done.stdout
    assert load_profile(tmp_path / "bert-large-pytorch-l4-from-t4.yaml").gpu == "L4"
    wrong = mmesim("profile", "scale", "bert-large-pytorch-t4", "--to", "L5", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "L4" in wrong.stderr
