"""`mmesim profile show` and `list`: points, curve, extrapolation, figure; families and filters."""

from __future__ import annotations

import json

import pytest
from program import mmesim

from mmesim.errors import InputError
from mmesim.profile import load_profile, profile_names
from mmesim.profile.describe import extrapolation, service_rows
from mmesim.report.profile_figure import draw_profile


def test_curve_is_shown_at_the_points_and_beyond_them():
    profile = load_profile("bert-large-pytorch-t4")
    rows = service_rows(profile)
    assert [row["batch"] for row in rows] == [1, 8, 16, 32, 64]
    assert [row["known"].partition(":")[0] for row in rows] == ["measured"] * 3 + ["extrapolated"] * 2
    for row in rows:
        assert row["ms"] == pytest.approx(profile.service_s(row["batch"]) * 1e3, rel=1e-4)
        assert row["items/s"] == pytest.approx(row["batch"] / profile.service_s(row["batch"]), rel=1e-4)


@pytest.mark.parametrize(("name", "words"), [
    ("bert-large-pytorch-t4", "the last slope"), ("xgboost-cpu", "in proportion to the only point"),
    ("wide-and-deep-tensorrt-t4", "half the time per item")])
def test_rule_beyond_the_last_point_is_told(name, words):
    assert words in extrapolation(load_profile(name))


def test_time_out_of_order_says_what_it_was():
    rows = {row["batch"]: row for row in service_rows(load_profile("dlrm-pytorch-v100"))}
    assert "1.4222 ms before it was pooled" in rows[64]["known"]


def test_profile_without_latencies_has_no_curve(tmp_path):
    text = (tmp_path / "none.yaml")
    lines = load_profile_text("bert-large-pytorch-t4")
    text.write_text(lines, encoding="utf-8")
    profile = load_profile(text)
    assert service_rows(profile) == []
    with pytest.raises(InputError, match="no latency to draw"):
        draw_profile(profile, tmp_path / "figure.png")


def load_profile_text(name: str) -> str:
    """The shipped file without its paragraph about latencies."""
    from mmesim.profile import profile_path
    parts = profile_path(name).read_text(encoding="utf-8").split("\n\n")
    return "\n\n".join(part for part in parts if not part.startswith("latency:"))


@pytest.mark.parametrize("suffix", [".png", ".svg"])
@pytest.mark.parametrize("name", ["resnet50-pytorch-t4", "dlrm-pytorch-v100", "xgboost-cpu"])
def test_figure_is_drawn_and_the_same_twice(tmp_path, name, suffix):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for path in (first, second):
        draw_profile(load_profile(name), path)
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) > 10_000


def test_figure_names_its_axes_and_parts(tmp_path):
    draw_profile(load_profile("tft-tensorrt-t4"), tmp_path / "f.svg")
    text = (tmp_path / "f.svg").read_text(encoding="utf-8")
    for words in ("batch size, items", "device time of a batch, ms", "items/s", "extrapolated", "max_batch_size",
                  "in the profile (estimated)", "tft-tensorrt-t4"):
        assert words in text


def test_show_command_prints_the_extrapolation_and_writes_the_figure(tmp_path):
    done = mmesim("profile", "show", "tft-tensorrt-t4", "--figure", "figures/f.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "extrapolated: " in done.stdout
    assert (tmp_path / "figures" / "f.png").stat().st_size > 10_000
    wrong = mmesim("profile", "show", "tft-tensorrt-t4", "--figure", "f.doc", cwd=tmp_path)
    assert wrong.returncode == 2
    assert ".svg" in wrong.stderr


def test_list_is_one_row_a_family_and_filters_show_each(tmp_path):
    families = mmesim("profile", "list", cwd=tmp_path).stdout
    row = next(line for line in families.splitlines() if line.startswith("bert-large-tensorrt "))
    assert row.split()[-6:] == ["A100", "A30", "L4", "L40S", "T4", "V100"]
    listed = json.loads(mmesim("profile", "list", "--gpu", "L4", "--model", "bert", "--json", cwd=tmp_path).stdout)
    assert {one["gpu"] for one in listed} == {"L4"}
    assert {one["profile"] for one in listed} == {name for name in profile_names()
                                                  if name.endswith("-l4") and "bert" in name}
    assert len(json.loads(mmesim("profile", "list", "--json", cwd=tmp_path).stdout)) == len(profile_names())
    wrong = mmesim("profile", "list", "--backend", "tensorflow", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "tensorrt" in wrong.stderr
