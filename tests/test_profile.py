"""Profiles: the shipped ones are whole and true to their data; wrong files are answered with file, line and way out."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmesim.catalog import load_catalog
from mmesim.errors import InputError
from mmesim.profile import describe, load_profile, profile_names, profile_path
from mmesim.profile.curve import ServiceCurve, isotonic
from mmesim.profile.schema import provenances
from mmesim.units import MIB

NAMES = profile_names()
PUBLISHED = [name for name in NAMES if load_profile(name).file.measured_on is None]
"""Made from what others published; the rest was measured here (tests/test_profile_measured.py)."""
GOOD = profile_path("bert-large-pytorch-t4").read_text(encoding="utf-8")


# The shipped profiles ------------------------------------------------------------------------------

def test_there_are_enough_profiles_for_a_t4_and_for_a_cpu():
    assert sum(name.endswith("-t4") for name in NAMES) >= 10
    assert sum(name.endswith("-cpu") for name in NAMES) >= 2
    assert {"resnet50-pytorch-t4", "bert-base-tensorrt-t4"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_profile_is_named_as_its_file_and_its_device_is_in_the_catalog(name):
    profile = load_profile(name)
    assert profile.name == name
    assert profile.gpu in {"cpu", "A30", *(row["gpu"] for row in load_catalog().rows())}


@pytest.mark.parametrize("name", NAMES)
def test_service_time_never_falls_with_the_batch_and_is_near_the_table(name):
    profile = load_profile(name)
    sizes = np.unique(np.geomspace(1, 4 * profile.max_batch_size, 300).astype(int))
    times = [profile.service_s(int(size)) for size in sizes]
    assert times[0] > 0
    assert np.all(np.diff(times) >= 0)
    for point in profile.file.latency.batches:
        near = 0.1 if name.startswith("dlrm-") else 0.02
        assert profile.service_s(point.batch) == pytest.approx(point.total_s, rel=near)


@pytest.mark.parametrize("name", NAMES)
def test_every_number_says_how_it_is_known(name):
    profile = load_profile(name)
    found = {".".join(path): known for path, known in provenances(profile.file)}
    assert {"latency", "host_cpu.per_item", "overhead", "host_bytes"} <= set(found)
    assert {"gpu_bytes", "load.fixed", "artifact_bytes"} <= set(found) or profile.file.disk_bytes is None \
        or name not in PUBLISHED
    for path, known in found.items():
        origin = profile.provenance(path)
        assert origin.source == profile.file.sources[known.source]
        if origin.basis == "rule":
            assert origin.source.startswith("rule:"), path
        elif origin.basis == "measured":
            assert "/" in origin.source, f"{path}: a measurement names its repository"


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("-t4") and load_profile(name).gpu_bytes])
def test_profile_fits_a_t4_with_its_framework_and_an_idle_server(name):
    profile = load_profile(name)
    visible = load_catalog()["ml.g4dn.xlarge"].gpu_bytes
    assert 165 * MIB + profile.framework_base_bytes + profile.gpu_bytes < 0.9 * visible


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_and_shares_are_sensible(name):
    profile = load_profile(name)
    assert (profile.artifact_bytes is None) == (profile.disk_bytes is None)
    assert profile.disk_bytes is None or 0 < profile.artifact_bytes < profile.disk_bytes
    assert 0 < profile.gpu_share <= 1
    assert profile.host_cpu_s == profile.host_cpu_s_of(1) <= profile.host_cpu_s_of(2)
    assert profile.load_fixed_s is None or 0 < profile.load_fixed_s < 10
    assert (profile.gpu == "cpu") == (profile.gpu_bytes == 0) == (profile.cpu_cores > 0)


@pytest.mark.parametrize("name", NAMES)
def test_description_has_a_row_for_each_number(name):
    profile = load_profile(name)
    rows = {row["field"]: row for row in describe(profile)}
    assert all({"field", "value", "unit", "basis", "source"} <= set(row) for row in rows.values())
    assert ("gpu_bytes" in rows) == (profile.gpu_bytes is not None)
    if profile.gpu_bytes is not None:
        assert rows["gpu_bytes"]["value"] == pytest.approx(profile.gpu_bytes / MIB, abs=0.01)
    for point in profile.file.latency.batches:
        assert rows[f"latency of batch {point.batch}"]["unit"] == "ms"
    assert all(row["source"] for row in rows.values() if row["basis"])


# True to the data ----------------------------------------------------------------------------------

def _rows(shared_data: Path, name: str, **wanted: str) -> list[dict[str, str]]:
    with (shared_data / name).open(encoding="utf-8", newline="") as file:
        found = [row for row in csv.DictReader(file) if all(row[key] == text for key, text in wanted.items())]
    assert found
    return found


@pytest.mark.data
def test_copies_that_fit_are_those_that_fitted(shared_data):
    """Base and growth give back the measured memory of every step within 1.5 % of the GPU."""
    for name, model in (("resnet50-pytorch-t4", "resnet50"), ("bert-base-tensorrt-t4", "bert-base-uncased")):
        profile = load_profile(name)
        for row in _rows(shared_data, "sagemaker_mme_gpu/memory_steps.csv", model=model):
            used = 165 * MIB + profile.framework_base_bytes + int(row["models_loaded"]) * profile.gpu_bytes
            assert used / (15109 * MIB) == pytest.approx(float(row["gpu_memory_pct"]) / 100, abs=0.015)


@pytest.mark.data
@pytest.mark.parametrize(("name", "model", "backend", "locator"), [
    ("bert-large-pytorch-t4", "bert-large", "torchscript", "line 558"),
    ("bert-dist4l-tensorrt-t4", "bert-dist4l", "tensorrt", "line 535"),
    ("dcnv2-4b-tf-tensorrt-t4", "dcnv2-4b", "tf savedmodel+tensorrt (ensemble)", "line 952"),
])
def test_service_times_are_the_published_parts_added(shared_data, name, model, backend, locator):
    rows = _rows(shared_data, "triton_published/measurements.csv", gpu="T4", model=model, scenario="offline",
                 framework_backend=backend, source_locator=locator)
    points = {point.batch: point.total_s for point in load_profile(name).file.latency.batches}
    parts = ("compute_input_ms", "compute_infer_ms", "compute_output_ms")
    expected = {int(float(row["batch_size"])): sum(float(row[part]) for part in parts) / 1e3 for row in rows}
    assert points == pytest.approx(expected)


# The curve -----------------------------------------------------------------------------------------

def test_curve_goes_through_its_points_and_on_with_the_last_slope():
    curve = ServiceCurve([2, 4, 8], [0.010, 0.014, 0.030])
    assert [curve(batch) for batch in (1, 2, 3, 4, 6, 8, 10)] == pytest.approx(
        [0.010, 0.010, 0.012, 0.014, 0.022, 0.030, 0.038])


def test_curve_of_one_point_goes_on_in_proportion():
    curve = ServiceCurve([1], [0.002])
    assert [curve(1), curve(8)] == pytest.approx([0.002, 0.016])


def test_curve_that_ends_flat_does_not_give_items_away():
    curve = ServiceCurve([1, 8], [0.004, 0.004])
    assert curve(8) == 0.004
    assert curve(16) == pytest.approx(0.004 + 8 * 0.5 * 0.004 / 8)


def test_points_out_of_order_are_pooled():
    assert isotonic([1.0, 4.0, 2.0, 3.0, 5.0]) == [1.0, 3.0, 3.0, 3.0, 5.0]


@given(st.lists(st.floats(1e-4, 10), min_size=1, max_size=12))
def test_isotonic_keeps_the_sum_and_never_falls(values):
    fitted = isotonic(values)
    assert np.all(np.diff(fitted) >= -1e-12)
    assert sum(fitted) == pytest.approx(sum(values))


@given(st.lists(st.floats(1e-4, 10), min_size=1, max_size=8), st.data())
def test_curve_never_falls(values, data):
    curve = ServiceCurve([2**k for k in range(len(values))], values)
    small = data.draw(st.integers(1, 400))
    assert curve(small) <= curve(small + data.draw(st.integers(1, 50))) + 1e-12


# Wrong files ---------------------------------------------------------------------------------------

def _refused(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_profile(path)
    assert all(problem.file == str(path) for problem in caught.value.problems)
    return [str(problem) for problem in caught.value.problems]


def _line(text: str, start: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.lstrip().startswith(start))


@pytest.mark.parametrize(("old", "new", "start", "words"), [
    ("gpu_bytes: {value: 766.54MB", "gpu_bytes: {value: 766.54", "gpu_bytes", "no unit"),
    ("gpu_bytes: {value: 766.54MB, basis: rule", "gpu_bytes: {value: 766.54MB, basis: guess", "gpu_bytes", "'guess'"),
    ("gpu_bytes: {value: 766.54MB", "gpu_bytes: {value: 0B", "gpu_bytes", "takes some of its memory"),
    ("source: rule-host}", "source: rule-hosts}", "host_bytes", "did you mean 'rule-host'"),
    ("{value: 1.0, basis: rule, source: rule-share}", "{value: 1.5, basis: rule, source: rule-share}", "gpu_share",
     "at most 1"),
    ("batch: 8, input", "batch: 1, input", "- {batch: 1, input: 0.1ms, infer: 7.5ms", "rising order"),
    ("batch_sizes: {value: []", "batch_sizes: {value: [4, 32]", "preferred_batch_sizes", "above max_batch_size"),
    ("max_batch_size: {value: 16", "max_batch_size: {value: 0", "max_batch_size", "at least 1"),
    ("framework_base_bytes:", "framework_bytes:", "framework_bytes", "did you mean 'framework_base_bytes'"),
    ("gpu: T4", "gpu: cpu", "gpu_bytes", "takes no GPU memory"),
])
def test_wrong_value_is_named_with_its_line(tmp_path, old, new, start, words):
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    found = _refused(tmp_path, text)
    assert any(words in problem for problem in found), found
    assert any(f"mine.yaml:{_line(text, start)}:" in problem for problem in found), found


def test_all_problems_are_reported_together(tmp_path):
    text = GOOD.replace("source: rule-host}", "source: nowhere}").replace("{value: 1.0, basis", "{value: 7, basis")
    assert len(_refused(tmp_path, text)) == 2


def test_what_nobody_measured_may_be_left_out(tmp_path):
    kept = ("gpu_bytes", "disk_bytes", "load:", "  fixed:", "gpu_share", "overhead", "host_cpu", "  per_")
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join(line for line in GOOD.splitlines() if not line.startswith(kept)), encoding="utf-8")
    profile = load_profile(path)
    assert (profile.gpu_bytes, profile.disk_bytes, profile.load_fixed_s, profile.load_time_s) == (None,) * 4
    assert profile.host_bytes is not None
    assert "gpu_bytes" not in {row["field"] for row in describe(profile)}


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'resnet50-pytorch-t4'"):
        load_profile("resnet50-pytorch-t5")
    with pytest.raises(InputError, match="did you mean 'my-model'"):
        load_profile("my-modle", {"my-model": Path("mine.yaml")})
    with pytest.raises(InputError, match="no such file"):
        load_profile("nowhere/mine.yaml")


def test_profile_and_instance_type_travel_to_other_processes():
    profile, kind = load_profile("tft-tensorrt-t4"), load_catalog()["ml.g4dn.xlarge"]
    sent = pickle.loads(pickle.dumps((profile, kind)))
    assert sent == (profile, kind)
    assert sent[0].service_s(48) == profile.service_s(48)


def test_own_profile_by_name_and_by_path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.replace("name: bert-large-pytorch-t4", "name: mine"), encoding="utf-8")
    by_path, by_name = load_profile(path), load_profile("mine", {"mine": path})
    assert by_path == by_name
    assert (by_path.name, by_path.service_s(8)) == ("mine", pytest.approx(0.1478))
