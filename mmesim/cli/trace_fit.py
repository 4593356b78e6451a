"""`mmesim trace fit`: a synthetic workload for a trace, and how near it comes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmesim.cli.output import note, print_json, print_table
from mmesim.cli.progress import steps

if TYPE_CHECKING:
    from mmesim.workload.analysis.fit import Fit


def trace_fit(
    trace: Annotated[Path, typer.Argument(help="CSV (.gz) or Parquet: timestamp_s, model or minute, model, count.")],
    output: Annotated[Path | None, typer.Option(
        "-o", "--output", help="Write the workload section of a scenario here (YAML).")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw trace and fit: NAME.png, .svg or .pdf.")] = None,
    name: Annotated[str, typer.Option(help="What to call it; by default like the trace.")] = "",
    arrivals: Annotated[str, typer.Option(
        help="whole (rate over the whole time), day (the mean day, repeated), mmpp (bursts at any time), poisson; "
        "auto: whole or mmpp, by what the rate explains.")] = "auto",
    every: Annotated[int, typer.Option(min=0, help="whole: seconds between two rates; 0: an hour or less.")] = 0,
    popularity: Annotated[str, typer.Option(help="zipf, or ranked (the shares as they are).")] = "zipf",
    top: Annotated[int, typer.Option(min=0, help="Only the so many most requested models; 0: all.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: settings, figures of both, the judgement.")] =
    False,
) -> None:
    """Fit a synthetic workload to a trace: it can be shipped where rows may not, and be scaled.

    What is generated is measured beside the trace. Hit ratios are judged on the last third of the time too, by a fit
    that has seen the first two thirds only.

    Examples:

      mmesim trace fit day.csv.gz

      mmesim trace fit genai.csv.gz --arrivals day -o workload.yaml

      mmesim trace fit functions.csv.gz --top 160 --popularity ranked -o workload.yaml
    """
    from mmesim.cli.trace_output import read
    from mmesim.report.printed import check_format
    from mmesim.workload.analysis.fit import fit
    from mmesim.workload.analysis.written import fragment, judged
    _check(arrivals, popularity)
    if figure:
        check_format(figure)
    requests = read(trace)
    if top:
        requests = requests.busiest(top)
    with steps("fitting", 100) as done:
        fitted = fit(requests, arrivals=arrivals, every_s=every, popularity=popularity, done=done)
    text = fragment(fitted, name or trace.name.partition(".")[0], trace.name)
    if as_json:
        print_json(_json(fitted))
    else:
        print_table(_rows(fitted), caption=judged(fitted))
        if not output:
            print(f"\n{text}", end="")
    if figure:
        from mmesim.report.trace_figure import draw_fit
        draw_fit(fitted, figure, trace.name)
        note(f"wrote {figure}")
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
        note(f"wrote {output}; put it into a scenario (see its comment)")


def _check(arrivals: str, popularity: str) -> None:
    from mmesim.errors import InputError, Problem, alternatives
    from mmesim.workload.analysis.arrivals_fit import KINDS
    from mmesim.workload.analysis.fit import POPULARITIES
    given = (("--arrivals", arrivals, KINDS), ("--popularity", popularity, POPULARITIES))
    wrong = [Problem(f"{value!r} is not known", path=option, hint=alternatives(value, known))
             for option, value, known in given if value not in known]
    if wrong:
        raise InputError(wrong)


def _rows(fitted: Fit) -> list[dict[str, Any]]:
    """The trace and what was generated side by side, then the part that the fit has not seen."""
    from mmesim.cli.trace_output import rows
    from mmesim.report.wording import percent
    synthetic = dict(rows(fitted.synthetic))
    table = [{"figure": name, "trace": value, "synthetic": synthetic.get(name, "–")} for name, value in
             rows(fitted.trace)]
    held = fitted.held_out
    if held:
        table += [{"figure": f"last third, unseen: LRU, {size} fit", "trace": percent(real), "synthetic": percent(made)}
                  for size, real, made in zip(held.sizes, held.trace, held.fitted, strict=True) if size > 1]
    return table


def _json(fitted: Fit) -> dict[str, Any]:
    from dataclasses import asdict

    from mmesim.cli.trace_output import as_json
    spec, held = fitted.spec, fitted.held_out
    return {"arrivals": {name: value for name, value in asdict(spec.arrivals).items() if value is not None},
            "popularity": {"use": spec.popularity.use, "s": spec.popularity.s,
                           "weights": dict(spec.popularity.weights)},
            "sessions": {"repeat": spec.session_repeat, "reach": spec.session_reach}, "models": len(fitted.models),
            "duration_s": fitted.length_s, "trace": as_json(fitted.trace), "synthetic": as_json(fitted.synthetic),
            "held_out": None if held is None else {
                **asdict(held), "mean_error": held.error(held.fitted)[0],
                "mean_error_independent": held.error(held.independent)[0]}}
