"""What the page says in words and tables, as plain values for the template."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mmesim.core.types import Failure
from mmesim.dataplane.counters import Reason
from mmesim.report.figures import COLOUR_OF_REASON, PARTS
from mmesim.report.wording import (
    ABSENT,
    FAILURES,
    LIVE_REASONS,
    QUANTILES,
    REASONS,
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
    from mmesim.results.run import Run

KINDS = {"all": "all answers", "warm": "hits", "cold": "cold starts", "cold_disk": "from disk", "cold_s3": "from S3"}
WORST = 12
"""Models in the table of the worst."""


def about(run: Run) -> list[str]:
    """The line under the title."""
    about, requests = run.summary["run"], run.summary["requests"]
    live = run.summary.get("live")
    where = f"{number(run.summary['instances']['mean'])} × {about['instance_type']}" if live is None else \
        f"live on {live.get('target', 'real servers')}"
    warmup = about["measured_from_s"]
    measured = f"{format_duration(about['measured_s'])} measured"
    return [plural(about["models"], "model"), where,
            f"{number(requests['rate_rps'])} requests/s",
            measured + (f" after {format_duration(warmup)} of warm-up" if warmup else ""), f"seed {about['seed']}",
            f"mmesim {about['mmesim']}"]


def tiles(summary: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The headline numbers: label, value, and a line below."""
    latency, cache, requests = summary["latency"], summary["cache"], summary["requests"]
    yield _tile("p99 latency", ms(latency["all"]["p99"]),
                f"p50 {ms(latency['all']['p50'])}, hits alone {ms(latency['warm']['p99'])}", _state(summary, "p99_ms"))
    if measured(summary, Part.CACHE):
        yield _tile("hit ratio", percent(cache["hit_ratio"]),
                    f"{count(sum(cache['cold_starts'].values()))} cold starts", _state(summary, "cold_start_ratio"))
    yield _tile("errors", percent(requests["error_rate"]),
                f"{count(requests['failed'])} of {count(requests['invocations'])} requests",
                _state(summary, "error_rate"))
    if measured(summary, Part.USE):
        yield _use_tile(summary["use"])
    if measured(summary, Part.INSTANCES):
        yield from _cost_tiles(summary)


def _use_tile(use: dict[str, Any]) -> dict[str, str]:
    memory = use.get("gpu_memory", use["host_memory"])
    label, busy = ("GPU use", use["gpu"]) if "gpu" in use else ("CPU use", use["cpu"])
    return _tile(label, share(busy["mean"]), f"peak {share(busy['peak'])}, memory {share(memory['mean'])}")


def _cost_tiles(summary: dict[str, Any]) -> Iterator[dict[str, str]]:
    instances, cost = summary["instances"], summary["cost"]
    yield _tile("instances", number(instances["mean"]), f"{in_service(instances)}, {paid(instances)}")
    yield _tile("cost per hour", money(cost["per_hour"]),
                f"{money(cost['per_month'])} a month" if cost["per_hour"] is not None else cost.get("note", ""),
                _state(summary, "cost_per_hour"))
    yield _tile("per million requests", money(cost["per_million_invocations"]),
                f"{money(cost['price_per_instance_hour'])} an instance hour" if cost["per_hour"] is not None else "")


def _tile(label: str, value: str, below: str, state: str = "") -> dict[str, str]:
    return {"label": label, "value": value, "below": below, "state": state}


def _state(summary: dict[str, Any], target: str) -> str:
    """``met``, ``missed``, or nothing without such a target."""
    known = summary["objective"]["targets"].get(target)
    return "" if known is None else "met" if known["met"] else "missed"


def targets(summary: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The objective, target by target."""
    for name, target in summary["objective"]["targets"].items():
        yield {"name": target_title(name), "target": target_value(name, target["target"]), "met": target["met"],
               "value": target_found(name, target), "attainment": attained(name, target)}


def latency(summary: dict[str, Any]) -> dict[str, Any]:
    """The table of quantiles."""
    table = summary["latency"]
    rows = [(label, kind, count(table[kind]["count"]), [ms(table[kind][name]) for name in QUANTILES])
            for kind, label in KINDS.items() if table[kind]["count"] or kind == "all"]
    head = [name.replace("_", ".") for name in QUANTILES]
    return {"head": head, "rows": rows, "error": percent(table["relative_error"])}


def where_time_goes(summary: dict[str, Any]) -> dict[str, Any]:
    """Bars of the mean request: (label, colour name, ms, share, width in percent); and the colours' legend."""
    names = REASONS if measured(summary, Part.TIME_WITHIN) else LIVE_REASONS
    parts = [(names[reason], COLOUR_OF_REASON[reason], summary["time"][reason.name.lower()]) for reason in Reason]
    most = max((each["share"] or 0.0 for _, _, each in parts), default=0.0) or 1.0
    rows = [(label, shade, ms(each["mean_ms"]), percent(each["share"]), round(100 * (each["share"] or 0.0) / most, 2))
            for label, shade, each in parts if each["share"]]
    return {"rows": rows, "legend": [(label, shade) for label, shade, _ in PARTS]}


def outcomes(summary: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """(what became of it, HTTP status, count, share of all that ended)."""
    requests = summary["requests"]
    ended = requests["completions"] + requests["failed"]
    yield "answered", str(Failure.NONE.http_status), count(requests["completions"]), \
        percent(requests["completions"] / ended if ended else None)
    for name, each in requests["failures"].items():
        yield FAILURES[name], str(each["http_status"]), count(each["count"]), percent(each["count"] / ended)
    if requests["retries"]:
        yield "of all these, retries", "", count(requests["retries"]), percent(requests["retries"] / max(ended, 1))
    yield "in flight at the end", "", count(requests["in_flight_at_end"]), ""


def cold_starts(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the models' moves came to."""
    cache = summary["cache"]
    if measured(summary, Part.CACHE):
        yield "requests that waited, files on disk", count(cache["cold_starts"]["disk"])
        yield "requests that waited, files in S3", count(cache["cold_starts"]["s3"])
        yield "requests that waited in vain", count(cache["cold_starts"]["failed"])
        yield "mean wait of those answered", ms(cache["loading_wait_mean_ms"])
    if measured(summary, Part.RESIDENCY):
        yield from _moves(summary["residency"])


def _moves(residency: dict[str, Any]) -> Iterator[tuple[str, str]]:
    thrash = residency["thrash"]
    yield "downloads", f"{count(residency['downloads'])} ({format_bytes(residency['download_bytes'])})"
    yield "loads", count(residency["loads"])
    for reason, n in residency["unload_reasons"].items():
        yield f"unloads: {reason}", count(n)
    yield "out of memory", count(residency["out_of_memory"])
    yield "loads that bring back what was just evicted", percent(thrash["reload_share"])
    yield "unloads per minute and instance", number(thrash["unloads_per_instance_minute"])


def live(summary: dict[str, Any]) -> Iterator[str]:
    """How a live run was measured."""
    facts = summary.get("live", {})
    if "api" in facts:
        pace = "" if facts["speed"] == 1 else f", {number(facts['speed'])} times as fast as written"
        yield (f"The scenario's workload was sent to {facts['target']} by its {facts['api']} API{pace}. Latency counts "
               "from the time at which a request was to be sent.")
    if late := facts.get("generator", {}).get("lag_ms"):
        yield (f"Requests were sent late by {ms(late['p50'])} at p50, {ms(late['p99'])} at p99, {ms(late['max'])} at "
               "most; that is in their latency.")
    for error in facts.get("errors", ()):
        yield f"Error, {count(error['count'])} times: HTTP {error['http_status'] or ABSENT}, “{error['text'][:300]}”"
    if facts.get("not_measured"):
        yield f"Not measured, and therefore absent here: {', '.join(facts['not_measured'])}."


def worst_models(run: Run) -> Iterator[tuple[str, ...]]:
    """Rows of the models with the highest p99 among those with at least 20 answers (else among all)."""
    models = run.models
    often = models[models["completions"] >= 20]
    chosen = (often if len(often) else models[models["Invocations"] > 0]).nlargest(WORST, "latency_p99_ms")
    for row in chosen.itertuples(index=False):
        yield (row.model, count(row.Invocations), percent(row.cold_ratio), ms(row.latency_p50_ms),
               ms(row.latency_p99_ms), count(row.failed), count(row.loads), count(row.evictions),
               number(row.copies_mean), _size(row.gpu_bytes or row.host_bytes))


def _size(size_bytes: float) -> str:
    return ABSENT if math.isnan(size_bytes) else format_bytes(size_bytes)


def lives(run: Run) -> Iterator[tuple[str, ...]]:
    """Rows of the instances, at most 40."""
    ended_ns = round(run.summary["run"]["ended_s"] * 1e9)
    price = run.summary["cost"]["price_per_instance_hour"]
    for life in run.details["fleet"][:40]:
        paid_s = ((ended_ns if life["ended_ns"] is None else life["ended_ns"]) - life["launched_ns"]) / 1e9
        joined = ABSENT if life["joined_ns"] is None else _at(life["joined_ns"])
        yield (str(life["number"]), str(life["zone"]), _at(life["launched_ns"]), joined,
               "" if life["ended_ns"] is None else _at(life["ended_ns"]), life["reason"] or "still there",
               format_duration(paid_s), money(None if price is None else price * paid_s / 3600))


def _at(time_ns: int) -> str:
    return format_duration(time_ns / 1e9) if time_ns else "start"


def as_yaml(settings: dict[str, Any]) -> str:
    """Settings as they could be written in a scenario."""
    import yaml

    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)
