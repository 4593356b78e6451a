"""Foreign traces come in as they were: each request once, at its time, for its model; damage is told by its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from program import mmesim

from mmesim.errors import InputError
from mmesim.workload.importing import Imported, Wanted, import_trace
from mmesim.workload.importing.columns import Columns
from mmesim.workload.importing.importer import recognised
from mmesim.workload.importing.rows import Counts, Requests
from mmesim.workload.importing.writing import write_trace
from mmesim.workload.trace import trace_facts

MINUTE_NS = 60_000_000_000
LLM = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:04.0319600,4808,10
2023-11-16 18:17:03.9799600,3180,8
"""
GENAI = """gmt_create,predict_type,predict_status,exec_time_seconds,groupId,checkpoint_model_version_id,num_lora
2024-11-15 16:57:50,TXT_2_IMG,SUCCEED,32.0,G0000,M0000,0
2024-11-15 18:16:14,TXT_2_IMG,SUCCEED,43.0,G0001,,0
2024-11-15 18:17:06,TXT_2_IMG,SUCCEED,36.0,G0001,M0001,2
"""
HISTORY = """Timestamp,User Count,Type,Name,Requests/s,Failures/s,Total Request Count,Total Failure Count
1700000000,5,,Aggregated,0.0,0.0,0,0
1700000001,5,POST,bert,2.0,0.0,2,0
1700000001,5,,Aggregated,2.0,0.0,3,0
1700000001,5,POST,resnet,1.0,0.0,1,0
1700000061,5,POST,bert,2.0,0.0,7,0
1700000062,5,POST,bert,2.0,0.0,3,0
"""
METRIC_DATA = {"MetricDataResults": [
    {"Id": "m1", "Label": "resnet", "StatusCode": "Complete",
     "Timestamps": ["2024-05-01T10:05:00+02:00", "2024-05-01T08:00:00Z"], "Values": [12.0, 7.0]},
    {"Id": "m2", "Label": "bert", "StatusCode": "PartialData",
     "Timestamps": ["2024-05-01T08:10:00Z"], "Values": [6.0]}]}
STATISTICS = {"Label": "Invocations", "Datapoints": [
    {"Timestamp": "2024-05-01T08:01:00+00:00", "Sum": 2.0, "Unit": "Count"},
    {"Timestamp": "2024-05-01T08:00:00+00:00", "Sum": 5.0, "Unit": "Count"}]}
CONSOLE = """Full label,AWS/SageMaker Invocations resnet,AWS/SageMaker Invocations bert
Label,resnet,bert
2024/05/01 08:00:00,3,
2024/05/01 08:01:00,4,1
"""


def azure(rows: dict[tuple[str, str, str, str], dict[int, int]]) -> str:
    """The original layout: owner, app, function, trigger to {minute of the day from 1: requests}."""
    lines = ["HashOwner,HashApp,HashFunction,Trigger," + ",".join(map(str, range(1, 1441)))]
    for key, counts in rows.items():
        lines.append(",".join([*key, *(str(counts.get(minute, 0)) for minute in range(1, 1441))]))
    return "\n".join(lines) + "\n"


def put(folder: Path, text: str | dict[str, Any], name: str = "trace.csv") -> Path:
    path = folder / name
    data = (text if isinstance(text, str) else json.dumps(text)).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def requests(imported: Imported) -> list[tuple[float, str]]:
    assert isinstance(imported.rows, Requests)
    return [(t / 1e9, name) for t, name in zip(imported.rows.t_ns.tolist(), imported.rows.model, strict=True)]


def counts(imported: Imported) -> list[tuple[int, str, int]]:
    assert isinstance(imported.rows, Counts)
    rows = imported.rows
    return list(zip((rows.t_ns // MINUTE_NS).tolist(), rows.model, rows.count.tolist(), strict=True))


def refusal(path: Path, **wanted: Any) -> str:
    with pytest.raises(InputError) as caught:
        import_trace([path], Wanted(**wanted))
    return str(caught.value)


# ---- each format


def test_days_of_azure_functions_follow_one_another(tmp_path: Path) -> None:
    second = put(tmp_path, azure({("o", "a", "f", "http"): {1: 4}}), "invocations_per_function_md.anon.d06.csv")
    first = put(tmp_path, azure({("o", "a", "f", "http"): {1440: 2}, ("o", "a", "f", "timer"): {1440: 1},
                                 ("o", "b", "g", "queue"): {3: 5}, ("o", "a", "g", "queue"): {3: 1}}),
                "invocations_per_function_md.anon.d05.csv")
    imported = import_trace([second, first])
    assert imported.format == "azure-functions-2019"
    assert counts(imported) == [(0, "o/a/g", 1), (0, "o/b/g", 5), (1437, "f", 3), (1438, "f", 4)]
    assert counts(import_trace([second, first], Wanted(from_midnight=True)))[0] == (2, "o/a/g", 1)


def test_each_file_of_the_llm_trace_is_a_service(tmp_path: Path) -> None:
    code = put(tmp_path, LLM, "AzureLLMInferenceTrace_code.csv")
    conv = put(tmp_path, LLM.replace("18:17:04.0319600", "18:17:04.5"), "AzureLLMInferenceTrace_conv.csv.gz")
    imported = import_trace([code, conv])
    assert imported.format == "azure-llm-2023"
    assert requests(imported) == [(0, "code"), (0, "conv"), (0.052, "code"), (0.52004, "conv")]
    assert imported.rows.more["input_tokens"].tolist() == ["3180", "3180", "4808", "4808"]  # type: ignore[union-attr]
    assert {name for _, name in requests(import_trace([code], Wanted(models=("chat",))))} == {"chat"}


def test_genai_requests_without_a_model_are_left_out_and_counted(tmp_path: Path) -> None:
    imported = import_trace([put(tmp_path, GENAI)], Wanted(from_midnight=True))
    assert imported.format == "alibaba-genai"
    assert requests(imported) == [(61070, "M0000"), (65826, "M0001")]
    assert imported.dropped == {"no model named": 1}
    assert imported.rows.more["service_s"].tolist() == ["32.0", "36.0"]  # type: ignore[union-attr]
    assert imported.rows.more["loras"].tolist() == ["0", "2"]  # type: ignore[union-attr]


def test_running_counts_of_locust_become_counts_per_minute(tmp_path: Path) -> None:
    """Second 1700000001 lies 21 s into its minute; the last row is after a reset of the counts."""
    imported = import_trace([put(tmp_path, HISTORY, "run_stats_history.csv")])
    assert imported.format == "locust"
    assert counts(imported) == [(0, "bert", 2), (0, "resnet", 1), (1, "bert", 8)]
    totals = "\n".join(line for line in HISTORY.splitlines() if "POST" not in line) + "\n"
    imported = import_trace([put(tmp_path, totals)], Wanted(models=("endpoint",)))
    assert counts(imported) == [(0, "endpoint", 3)] and "totals only" in imported.remarks[0]


def test_a_request_log_has_a_time_and_a_name(tmp_path: Path) -> None:
    log = put(tmp_path, "request_timestamp,name,response_time\n1700000002.25,bert,12\n1700000001.5,resnet,9\n")
    imported = import_trace([log], Wanted(format="locust"))
    assert requests(imported) == [(0, "resnet"), (0.75, "bert")]


def test_metric_data_of_cloudwatch(tmp_path: Path) -> None:
    """Periods of 5 min by the distance of the points: 12 requests are 2, 2, 3, 2, 3 in five minutes."""
    imported = import_trace([put(tmp_path, METRIC_DATA, "calls.json")])
    assert imported.format == "cloudwatch" and imported.requests == 25
    rows = counts(imported)
    assert [count for minute, name, count in rows if name == "resnet" and minute >= 5] == [2, 2, 3, 2, 3]
    assert [minute for minute, name, _ in rows if name == "bert"] == [10, 11, 12, 13, 14]
    assert any("PartialData" in remark for remark in imported.remarks)
    assert any("300 s" in remark for remark in imported.remarks)
    assert counts(import_trace([put(tmp_path, METRIC_DATA, "calls.json")], Wanted(period_s=60))) == [
        (0, "resnet", 7), (5, "resnet", 12), (10, "bert", 6)]


def test_statistics_of_cloudwatch_are_one_model_a_file(tmp_path: Path) -> None:
    path = put(tmp_path, STATISTICS, "resnet-007.json")
    assert counts(import_trace([path])) == [(0, "resnet-007", 5), (1, "resnet-007", 2)]
    assert counts(import_trace([path], Wanted(models=("r",))))[0] == (0, "r", 5)


def test_the_consoles_csv(tmp_path: Path) -> None:
    imported = import_trace([put(tmp_path, CONSOLE, "metrics.csv")])
    assert imported.format == "cloudwatch"
    assert counts(imported) == [(0, "resnet", 3), (1, "bert", 1), (1, "resnet", 4)]


# ---- any table


@pytest.mark.parametrize(("unit", "cells"), [
    ("s", ("3.5", "2")), ("ms", ("3500", "2000")), ("us", ("3500000", "2000000")), ("ns", ("3500000000", "2000000000")),
    ("auto", ("1700000003.5", "1700000002")), ("auto", ("1700000003500", "1700000002000")),
    ("iso", ("2024-03-31T03:00:01.5+02:00", "2024-03-31T01:00:00Z")),
    ("auto", ("2024-01-01 00:00:01.5", "2024-01-01"))])
def test_times_in_every_unit(tmp_path: Path, unit: str, cells: tuple[str, str]) -> None:
    path = put(tmp_path, f"when,what,size\n{cells[0]},b,7\n{cells[1]},a,5\n")
    columns = Columns("when", unit, "what", keep=("size",))
    imported = import_trace([path], Wanted(columns=columns))
    assert requests(imported) == [(0, "a"), (1.5, "b")]
    assert imported.rows.more["size"].tolist() == ["5", "7"]  # type: ignore[union-attr]


def test_parquet_with_times_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pd.DataFrame({"timestamp": pd.to_datetime(["2024-01-01T00:00:02.00Z", "2024-01-01T00:00:00.25Z"]),
                  "model": ["b", "a"], "n": [1, 2]}).to_parquet(path)
    imported = import_trace([path], Wanted(columns=Columns(keep=("n",))))
    assert requests(imported) == [(0, "a"), (1.75, "b")]


def test_a_column_may_count_requests(tmp_path: Path) -> None:
    path = put(tmp_path, "at,model,calls\n2024-01-01 00:00:30,a,3\n2024-01-01 00:00:50,a,2\n2024-01-01 00:03,b,0\n")
    assert counts(import_trace([path], Wanted(columns=Columns("at", count="calls")))) == [(0, "a", 5)]


def test_what_was_imported_is_imported_again_as_it_is(tmp_path: Path) -> None:
    first = import_trace([put(tmp_path, METRIC_DATA, "calls.json")])
    write_trace(first.rows, tmp_path / "tidy.csv.gz")
    assert counts(import_trace([tmp_path / "tidy.csv.gz"])) == counts(first)
    assert trace_facts(tmp_path / "tidy.csv.gz").requests == 25


# ---- what is wrong


def test_damage_is_told_by_file_and_line_or_skipped_and_counted(tmp_path: Path) -> None:
    path = put(tmp_path, "timestamp_s,model\n1,a\nsoon,b\n2,c\n,f\n")
    text = refusal(path)
    assert "trace.csv:3: timestamp_s is no number: 'soon'" in text and "--skip-bad" in text
    path = put(tmp_path, "timestamp_s,model\n1,a\nsoon,b\n2,c\n3,d,e\n,f\n")
    imported = import_trace([path], Wanted(skip_bad=True))
    assert requests(imported) == [(0, "a"), (1, "c")]
    assert imported.dropped == {"timestamp_s is no number": 2,
                                "row has another number of cells than the header": 1}


def test_a_row_of_another_length_is_told_by_its_line(tmp_path: Path) -> None:
    assert "trace.csv:3: row has another number of cells" in refusal(put(tmp_path, "timestamp_s,model\n1,a\n3,d,e\n"))


def test_refusals_say_what_was_possible(tmp_path: Path) -> None:
    assert "--time-column" in refusal(put(tmp_path, "a,b\n1,2\n"))
    assert "did you mean 'trace.csv'" in refusal(tmp_path / "trase.csv")
    assert "no column 'wen'" in refusal(put(tmp_path, "when,model\n1,a\n"), columns=Columns("wen"))
    average = {"Datapoints": [{"Timestamp": "2024-05-01T08:00:00Z", "Average": 1.5}]}
    assert "Sum" in refusal(put(tmp_path, average, "x.json"))
    assert "x.json:2" in refusal(put(tmp_path, '{"MetricDataResults":\n oops}', "x.json"))
    assert "there is no request" in refusal(put(tmp_path, "timestamp_s,model\n"))
    assert "cannot be read" in refusal(put(tmp_path, "not packed", "y.csv").rename(tmp_path / "z.csv.gz"))


def test_files_of_two_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="import each format by itself"):
        import_trace([put(tmp_path, GENAI), put(tmp_path, LLM, "b.csv")])


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = import_trace([put(tmp_path, GENAI)]).rows
    out = tmp_path / "out" / f"tidy.{suffix}"
    write_trace(rows, out)
    before = out.read_bytes()
    write_trace(rows, out)
    assert out.read_bytes() == before and trace_facts(out).counts == {"M0000": 1, "M0001": 1}
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_trace(rows, out)
    assert [path.name for path in out.parent.iterdir()] == [out.name] and out.read_bytes() == before


# ---- the command


def test_the_command_tells_what_it_did(tmp_path: Path) -> None:
    put(tmp_path, GENAI, "raw.csv")
    done = mmesim("trace", "import", "raw.csv", "-o", "tidy.csv.gz", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["format"] == "alibaba-genai" and told["requests"] == 2 and told["left_out"] == {"no model named": 1}
    assert told["time_0_was"].startswith("2024-11-15T16:57:50")
    wrong = mmesim("trace", "import", "raw.csv", "-o", "tidy.csv", "--format", "azur", cwd=tmp_path)
    assert wrong.returncode == 2 and "azure-llm-2023" in wrong.stderr
    assert not (tmp_path / "tidy.csv").exists()


# ---- real traces


@pytest.mark.data
def test_a_published_sample_of_azure_functions_comes_back(shared_data: Path, tmp_path: Path) -> None:
    """500 functions with their real owners, apps and triggers, brought into the original layout and imported."""
    folder = shared_data / "traces"
    tidy = pd.read_csv(folder / "azure_functions_2019_500f_8h_counts.csv.gz")
    facts = pd.read_csv(folder / "azure_functions_2019_500f_8h_functions.csv.gz").set_index("model")
    rows = {(facts.owner[name], facts.app[name], name, facts.trigger[name]):
            dict(zip((part.minute + 481).tolist(), part["count"].tolist(), strict=True))
            for name, part in tidy.groupby("model")}
    path = put(tmp_path, azure(rows), "invocations_per_function_md.anon.d01.csv")
    assert recognised(path) == "azure-functions-2019"
    imported = import_trace([path])
    assert isinstance(imported.rows, Counts) and imported.requests == 3_037_902
    expected = tidy.sort_values(["minute", "model"])
    assert np.array_equal(imported.rows.t_ns // MINUTE_NS, expected.minute)
    assert np.array_equal(imported.rows.model, expected.model)
    assert np.array_equal(imported.rows.count, expected["count"])
