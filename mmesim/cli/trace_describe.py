"""`mmesim trace describe`: what a trace is like, in figures and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmesim.cli.output import note, print_json, print_table


def trace_describe(
    trace: Annotated[Path, typer.Argument(help="CSV (.gz) or Parquet: timestamp_s, model or minute, model, count.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Draw it: NAME.png, .svg or .pdf.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; null where a figure cannot be told.")] = False,
) -> None:
    """Describe a trace: rate, burstiness, popularity, sessions, and what an LRU of each size would hit.

    Counts per minute say nothing about the order inside a minute: requests are placed at random there.

    Examples:

      mmesim trace describe day.csv.gz

      mmesim trace describe day.csv.gz -o day.png

      mmesim trace describe day.csv.gz --json | jq .lru_hit_ratio
    """
    from mmesim.cli import trace_output
    from mmesim.report.printed import check_format
    if output:
        check_format(output)
    requests = trace_output.read(trace)
    figures = trace_output.described(requests)
    if as_json:
        print_json(trace_output.as_json(figures))
    else:
        print_table([{"figure": name, "value": value} for name, value in trace_output.rows(figures)], caption=""
                    if figures.exact_times else "counts per minute: the order inside a minute is random, which makes "
                    "sessions and the hit ratio of small caches look worse than they are")
    if output:
        from mmesim.report.trace_figure import draw_trace
        draw_trace(requests, figures, output, trace.name)
        note(f"wrote {output}")
