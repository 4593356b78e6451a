"""The shipped profiles: as many as promised, what the committed script gives, each number from its rows."""

from __future__ import annotations

import csv
import importlib
import os
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from mmesim.packaged import packaged_dir
from mmesim.profile import load_profile, profile_names, profile_path

PROFILES = [profile for profile in map(load_profile, profile_names()) if profile.file.measured_on is None]
"""Those made from what others published; the rest is of tests/test_profile_measured.py."""
NAMES = [profile.name for profile in PROFILES]
SIX = {"T4", "V100", "A100", "A30", "L4", "A10G"}
SAMPLE = {"fastpitch-pytorch-t4", "gpunet-d1-onnxtrt-a100"}
"""Fitted profiles (seconds each) that are made again here; MMESIM_ALL_PROFILES=1 makes all."""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A module of the committed script."""
    monkeypatch.syspath_prepend(str(packaged_dir("profiles")))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return importlib.import_module


def test_there_are_enough_models_and_pairs_of_model_and_gpu() -> None:
    measured = [profile for profile in PROFILES if profile.gpu in SIX]
    assert len({profile.file.model for profile in measured}) >= 25
    assert len({(profile.file.model, profile.gpu) for profile in measured}) >= 60
    assert {profile.gpu for profile in measured} == SIX


@pytest.mark.data
def test_files_are_what_the_script_gives(shared_data, script):
    everything = bool(os.environ.get("MMESIM_ALL_PROFILES"))
    texts = script("transcribe").profiles(
        shared_data, lambda one, is_fitted: everything or not is_fitted or one.name in SAMPLE)
    missing = set(NAMES) - set(texts)
    assert set(texts) <= set(NAMES)
    assert all(load_profile(name).file.gap for name in missing), "only fitted profiles are left out"
    for name, text in texts.items():
        assert profile_path(name).read_text(encoding="utf-8") == text, f"{name}: run profiles/transcribe.py"


@pytest.mark.data
def test_every_measured_latency_stands_in_the_data(shared_data):
    """Each batch that is called measured is a published row's, to five digits, in the place that is cited."""
    with (shared_data / "triton_published" / "measurements.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = [profile for profile in PROFILES if profile.file.latency.basis == "measured" and profile.gpu != "cpu"]
    assert len(found) > 90
    for profile in found:
        known = profile.file.latency
        source = profile.file.sources[known.source]
        here = [row for row in rows if row["source_path"] in source and row["source_commit"][:8] in source
                and row["gpu"] == profile.gpu and row["framework_backend"] == profile.file.backend]
        times = {(int(float(row["batch_size"])), total) for row in here for total in _times_ms(row)}
        for point in known.batches:
            assert any(batch == point.batch and point.total_s * 1e3 == pytest.approx(ms, rel=1e-4)
                       for batch, ms in times), f"{profile.name}: batch {point.batch}"


def _times_ms(row: dict[str, str]) -> list[float]:
    if row["compute_infer_ms"]:
        return [sum(float(row[f"compute_{part}_ms"] or 0) for part in ("input", "infer", "output"))]
    return [float(row["latency_avg_ms"])] if row["latency_avg_ms"] else []


def test_what_no_row_tells_is_absent() -> None:
    """DLRM's tables are of no published size; TensorFlow's memory and loading are not published."""
    for profile in PROFILES:
        if profile.name.startswith(("dlrm", "dcnv2")):
            assert profile.gpu_bytes is profile.artifact_bytes is profile.load_fixed_s is None


def test_bare_engines_say_so() -> None:
    bare = [profile for profile in PROFILES if "TensorRT demo/BERT" in " ".join(profile.file.sources.values())
            and profile.name != "bert-base-tensorrt-t4"]
    assert len(bare) > 40
    assert all("no server overhead" in profile.file.note for profile in bare)
