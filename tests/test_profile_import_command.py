"""`mmesim profile import` as a user sees it: the table, the remarks, the file that is written, the errors."""

from __future__ import annotations

import json
from pathlib import Path

from checkpoints import ADD_SUB, Measurement, Model, checkpoint
from program import mmesim

from mmesim.profile.readers import read_measurements, read_points

PERF = Path(__file__).parent / "data/perf_analyzer"


def test_a_folder_becomes_a_table_and_a_file(tmp_path):
    short = Model(metrics=ADD_SUB | {"perf_throughput": 1000.0})
    double = Model(metrics=ADD_SUB | {"perf_throughput": 5016.0}, concurrency=2)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/0.ckpt").write_text(checkpoint([Measurement([short]), Measurement([double])]))
    done = mmesim("profile", "import", str(tmp_path), "--precision", "fp32", "-o", str(tmp_path / "out/points.csv"),
                  cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    header, first, second, *_ = done.stdout.splitlines()
    assert header.split("  ")[0] == "model"
    assert first.split() == ["add_sub", "add_sub_config_default", "TITAN_RTX", "1", "1", "1", "1,000", "0.397", "0.488",
                             "0.539", "0.019", "0.141", "872.42", "x0.40"]
    assert second.split()[6:8] == ["5,016", "0.397"]
    assert "1 of 2 points fail Little's law" in done.stderr
    assert f"next: mmesim profile fit {tmp_path}/out/points.csv" in done.stderr
    written = read_measurements(tmp_path / "out/points.csv")
    assert [point.precision for point in written] == ["fp32", "fp32"]
    assert [point.latency_s for point in read_points([tmp_path / "out/points.csv"]).points] == [0.000397, 0.000397]


def test_json_has_points_and_remarks(tmp_path):
    done = mmesim("profile", "import", str(PERF / "plain.csv"), "--model", "inception", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [point["concurrency"] for point in answer["points"]] == [1, 3, 4]
    assert answer["points"][0]["p99_s"] == 0.021018
    assert answer["points"][0]["is_sound"] is True
    assert any("batch size" in remark for remark in answer["remarks"])


def test_what_is_missing_is_asked_for(tmp_path):
    done = mmesim("profile", "import", str(PERF / "plain.csv"), cwd=tmp_path)
    assert done.returncode == 2
    assert "--model NAME" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_help_shows_how(tmp_path):
    done = mmesim("profile", "import", "--help", cwd=tmp_path)
    assert "mmesim profile import results/ -o points.csv" in done.stdout
