"""`mmesim trace import`: other people's traces, in the form that scenarios read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmesim.cli.output import note, print_json, print_table
from mmesim.cli.progress import steps

if TYPE_CHECKING:
    from mmesim.workload.importing import Imported

FORMATS = "auto, azure-functions-2019, azure-llm-2023, alibaba-genai, csv, cloudwatch, locust"


def trace_import(
    files: Annotated[list[Path], typer.Argument(
        metavar="FILE...", help="One trace, maybe in several files; or the folder of a live endpoint's journal.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Write it here: NAME.csv, .csv.gz or .parquet.")],
    format_: Annotated[str, typer.Option("--format", help=f"{FORMATS}; auto: by the first line.")] = "auto",
    model: Annotated[list[str] | None, typer.Option(
        help="The model of a file that does not name it; one for all files, or repeated, one for each.")] = None,
    time_column: Annotated[str, typer.Option(help="csv: the column of the time.")] = "",
    time_unit: Annotated[str, typer.Option(help="csv: s, ms, us, ns, iso (ISO 8601, UTC without offset) or auto.")] =
    "auto",
    model_column: Annotated[str, typer.Option(help="csv: the column of the model.")] = "",
    count_column: Annotated[str, typer.Option(help="csv: each row stands for so many requests.")] = "",
    keep: Annotated[list[str] | None, typer.Option(help="csv: a further column to keep; may be repeated.")] = None,
    period: Annotated[int, typer.Option(min=0, help="cloudwatch: seconds of a period; 0: by its points.")] = 0,
    from_midnight: Annotated[bool, typer.Option(
        "--from-midnight", help="Time 0 is midnight (UTC), not the first request: hours of the day stay.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that cannot be read, and count them.")] =
    False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: what was read, and what was left out.")] = False,
) -> None:
    """Import a trace: requests (timestamp_s, model) or counts (minute, model, count), sorted, from time 0 on.

    Examples:

      mmesim trace import invocations_per_function_md.anon.d0[1-7].csv -o week.parquet

      mmesim trace import AzureLLMInferenceTrace_*.csv -o llm.csv.gz

      mmesim trace import log.csv --time-column at --time-unit ms --model-column target --keep bytes -o log.csv.gz

      aws cloudwatch get-metric-data ... > calls.json && mmesim trace import calls.json -o calls.csv.gz

      mmesim trace import live-state/journal -o served.parquet
    """
    from mmesim.journal import open_journal
    from mmesim.journal.trace import trace_of
    from mmesim.workload.importing import import_trace
    from mmesim.workload.importing.writing import check_suffix, write_trace
    check_suffix(output)
    wanted = _wanted(format_, model, time_column, time_unit, model_column, count_column, keep, period, from_midnight,
                     skip_bad)
    if len(files) == 1 and files[0].is_dir():
        with open_journal(files[0]) as journal:
            imported = trace_of(journal, from_midnight)
    else:
        with steps("files", len(files)) as done:
            imported = import_trace(files, wanted, done)
    write_trace(imported.rows, output)
    summary = _summary(imported, output)
    if as_json:
        print_json(summary)
    else:
        print_table([{"imported": name.replace("_", " "), "value": _text(value)} for name, value in summary.items()])
    note(f"wrote {output}; next: mmesim trace describe {output}")


def _wanted(format_: str, model: list[str] | None, time: str, unit: str, of_model: str, count: str,
            keep: list[str] | None, period_s: int, from_midnight: bool, skip_bad: bool) -> Any:
    """The options as the importer wants them. Raises InputError on names that are none."""
    from mmesim.errors import InputError, Problem, alternatives
    from mmesim.workload.importing import FORMATS as KNOWN
    from mmesim.workload.importing import Wanted
    from mmesim.workload.importing.columns import Columns
    from mmesim.workload.importing.table import UNITS
    wrong = [Problem(f"{value!r} is no {what}", path=option, hint=alternatives(value, known))
             for option, what, value, known in (("--format", "format", format_, KNOWN),
                                                ("--time-unit", "unit of time", unit, UNITS)) if value not in known]
    if wrong:
        raise InputError(wrong)
    return Wanted(format_, tuple(model or ()), Columns(time, unit, of_model, count, tuple(keep or ())), period_s,
                  from_midnight, skip_bad)


def _summary(imported: Imported, output: Path) -> dict[str, Any]:
    from mmesim.workload.importing.rows import Counts
    rows = imported.rows
    begin_s = imported.begin_ns / 1e9
    began = datetime.fromtimestamp(begin_s, UTC).isoformat() if begin_s > 1e8 else None
    return {"format": imported.format, "kind": "minute_counts" if isinstance(rows, Counts) else "requests",
            "file": str(output), "requests": imported.requests, "models": len(set(rows.model)),
            "span_s": float(rows.t_ns.max() - rows.t_ns.min()) / 1e9, "time_0_was": began,
            "columns": [*getattr(rows, "more", ())], "left_out": imported.dropped, "remarks": imported.remarks}


def _text(value: Any) -> str:
    from mmesim.report.wording import plural
    if isinstance(value, dict):
        return "; ".join(f"{reason}: {plural(n, 'row')}" for reason, n in value.items()) or "nothing"
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return "–" if value is None else f"{value:,}" if isinstance(value, int | float) else str(value)
