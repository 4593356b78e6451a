"""The summary in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mmesim.report.findings import findings
from mmesim.report.wording import (
    ABSENT,
    FAILURES,
    QUANTILES,
    attained,
    count,
    format_bytes,
    format_duration,
    in_service,
    money,
    ms,
    number,
    paid,
    percent,
    plural,
    share,
    target_found,
    target_title,
    target_value,
)
from mmesim.results.unmeasured import Part, measured

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mmesim.results.run import Run

MOST_ERRORS = 3
"""Kinds of errors of a live run."""
ROOMY = 90
"""Columns that the table of all quantiles needs."""
KINDS = {"all": "all", "warm": "warm (hits)", "cold": "cold", "cold_disk": "  from disk", "cold_s3": "  from S3"}
USES = {"gpu": "GPU", "gpu_memory": "GPU memory", "cpu": "CPU", "host_memory": "memory", "disk": "disk"}


def print_summary(run: Run, console: Console) -> None:
    """Everything `mmesim run` says about a result, on one screen."""
    summary = run.summary
    console.print(_head(summary), highlight=False)
    console.print(_latency(summary["latency"], console.width))
    console.print(_facts(summary))
    for sentence in findings(summary):
        console.print(f"[yellow]•[/] {sentence}", highlight=False)


def _head(summary: dict[str, Any]) -> str:
    about = summary["run"]
    left_out = f", {format_duration(about['measured_from_s'])} warm-up left out" if about["measured_from_s"] else ""
    partial = "  [bold red]stopped early[/]" if about["partial"] else ""
    where = summary["live"].get("target", "real servers") if "live" in summary else about["instance_type"]
    return (f"\n[bold]{summary['name']}[/]  {plural(about['models'], 'model')} on {where}, seed "
            f"{about['seed']}, {format_duration(about['measured_s'])} {'live' if 'live' in summary else 'simulated'}"
            f"{left_out}{partial}")


def _latency(latency: dict[str, Any], width: int) -> Table:
    """The table; without p95 where that has no room."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    table.add_column("latency", style="cyan", no_wrap=True)
    table.add_column("answers", justify="right", no_wrap=True)
    quantiles = [name for name in QUANTILES if width >= ROOMY or name != "p95"]
    for name in quantiles:
        table.add_column(name.replace("_", "."), justify="right", no_wrap=True)
    for kind, label in KINDS.items():
        row = latency[kind]
        if row["count"] or kind in ("all", "warm", "cold"):
            table.add_row(label, count(row["count"]), *(ms(row[name]) for name in quantiles),
                          style="bold" if kind == "all" else "")
    return table


def _facts(summary: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    for label, text in (*_requests(summary), *_moves(summary), *_machines(summary), *_live(summary),
                        *_objective(summary["objective"])):
        table.add_row(label, text)
    return table


def _requests(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    requests, cache = summary["requests"], summary["cache"]
    retries = f", {count(requests['retries'])} of them retries" if requests["retries"] else ""
    yield "requests", (f"{count(requests['invocations'])} ({number(requests['rate_rps'])}/s{retries})"
                       f"  [dim]in flight at the end[/] {count(requests['in_flight_at_end'])}")
    kinds = ", ".join(f"{FAILURES[name]} {count(each['count'])} [dim](HTTP {each['http_status']})[/]"
                      for name, each in requests["failures"].items())
    colour = "red" if requests["failed"] else "green"
    yield "errors", f"[{colour}]{count(requests['failed'])}[/] ({percent(requests['error_rate'])})  {kinds}"
    if not measured(summary, Part.CACHE):
        return
    starts = cache["cold_starts"]
    yield "hit ratio", f"[bold]{percent(cache['hit_ratio'])}[/]"
    yield "cold starts", (f"{count(starts['disk'])} from disk, {count(starts['s3'])} from S3, "
                          f"{count(starts['failed'])} failed waiting  [dim]mean wait[/] "
                          f"{ms(cache['loading_wait_mean_ms'])}")


def _moves(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if not measured(summary, Part.RESIDENCY):
        return
    residency = summary["residency"]
    yield "loads", (f"{count(residency['loads'])}  [dim]downloads[/] {count(residency['downloads'])} "
                    f"({format_bytes(residency['download_bytes'])})  [dim]evictions[/] {count(residency['evictions'])}"
                    f"  [dim]out of memory[/] {count(residency['out_of_memory'])}")
    thrash = residency["thrash"]
    yield "thrash", (f"{percent(thrash['reload_share'])} of loads bring back what left in the last "
                     f"{thrash['reload_window_s'] / 60:.0f} min  [dim]unloads per minute[/] "
                     f"{number(thrash['unloads_per_minute'])}")


def _machines(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    use, instances, cost = summary["use"], summary["instances"], summary["cost"]
    each = (f"[dim]{label}[/] {share(use[name]['mean'])[:-2]} / {share(use[name]['peak'])}"
            for name, label in USES.items() if name in use)
    if measured(summary, Part.USE):
        yield "mean / peak", "  ".join(each)
    if not measured(summary, Part.INSTANCES):
        return
    ended = "".join(f", {count(n)} {reason}" for reason, n in instances["ended"].items())
    yield "instances", (f"{number(instances['mean'])} on average, {in_service(instances)}, {paid(instances)}, "
                        f"{instances['joined']} joined{ended}")
    if cost["per_hour"] is None:
        yield "cost", f"{ABSENT} [dim]{cost.get('note', '')}[/]"
    else:
        yield "cost", (f"[bold]{money(cost['per_hour'])}[/] per hour, [bold]{money(cost['per_month'])}[/] per month, "
                       f"[bold]{money(cost['per_million_invocations'])}[/] per million requests")


def _live(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Of a live run: how well its requests were sent, and what is missing here."""
    from rich.markup import escape

    live = summary.get("live", {})
    if "generator" in live and (late := live["generator"]["lag_ms"]):
        yield "sent late", f"p50 {ms(late['p50'])}, p99 {ms(late['p99'])}, at most {ms(late['max'])}"
    for error in live.get("errors", ())[:MOST_ERRORS]:
        status = f"HTTP {error['http_status']}" if error["http_status"] else "no answer"
        yield "error", f"{count(error['count'])} × {status}: {escape(error['text'][:200])}"
    if live.get("not_measured"):
        yield "not measured", ", ".join(live["not_measured"])


def _objective(objective: dict[str, Any]) -> Iterator[tuple[str, str]]:
    from rich.markup import escape
    label = "objective"
    for name, target in objective["targets"].items():
        mark = "[green]met   [/]" if target["met"] else "[bold red]missed[/]"
        within = f", {part} within it" if (part := attained(name, target)) else ""
        yield label, (f"{mark} {escape(target_title(name))} {escape(target_found(name, target))} "
                      f"[dim](target {target_value(name, target['target'])}{within})[/]")
        label = ""
