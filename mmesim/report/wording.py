"""Numbers and names as a reader wants them; used by the terminal and the HTML report alike."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from mmesim.dataplane.counters import Reason
from mmesim.results.targets import TARGETS, amount, target_title, unit_of
from mmesim.units import format_bytes, format_count, format_duration, format_percent

QUANTILES = ("mean", "p50", "p90", "p95", "p99", "p99_9", "max")
"""What the tables of latency show, by their names in the summary."""
ABSENT = "–"
REASONS = {
    Reason.DOWNLOAD: "download from S3", Reason.EXTRACT: "extraction",
    Reason.ROOM: "waiting for memory or a load thread", Reason.LOAD: "load into memory",
    Reason.STALL: "admission stalled", Reason.FRONTEND: "receiving and decoding at the server's front end",
    Reason.HOST_CPU: "host CPU", Reason.QUEUE: "queue", Reason.BATCH_WAIT: "waiting for a batch",
    Reason.COMPUTE: "compute", Reason.CONTENTION: "sharing the device", Reason.OVERHEAD: "network and front end"}
LIVE_REASONS = {**REASONS, Reason.LOAD: "waiting for a load", Reason.COMPUTE: "at the server",
                Reason.OVERHEAD: "network, gateway and this client"}
"""Of a live run, whose servers do not tell more."""
FAILURES = {
    "model_not_ready": "model not ready in time", "timeout": "no answer in time", "throttled": "refused by admission",
    "queue_full": "queue full", "load_failed": "load failed", "no_such_model": "no such model",
    "instance_lost": "instance lost", "model_error": "the model's own error"}


def ms(value: float | None) -> str:
    """A duration given in milliseconds."""
    return format_duration(value / 1e3) if value is not None else ABSENT


def percent(fraction: float | None) -> str:
    """``99.95 %``: enough digits to tell it from 0 % and 100 %."""
    return ABSENT if fraction is None or not math.isfinite(fraction) else format_percent(fraction)


def share(value: float | None) -> str:
    """A percentage that is already one (a utilisation)."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:.0f} %" if value >= 9.95 else f"{value:.1f} %"


def money(value: float | None) -> str:
    """US dollars: cents below 1,000, whole dollars above; more digits for less than ten cents."""
    if value is None:
        return ABSENT
    return f"${value:,.0f}" if value >= 1000 else f"${value:,.2f}" if value >= 0.1 or value == 0 else f"${value:.2g}"


def count(value: float | None) -> str:
    """A count."""
    return ABSENT if value is None or math.isnan(value) else format_count(value)


def number(value: float | None) -> str:
    """Three significant digits."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"


def paid(instances: dict[str, Any]) -> str:
    """Instance time paid for."""
    return f"{format_duration(3600 * instances['billed_hours'])} paid for"


def in_service(instances: dict[str, Any]) -> str:
    """``1 to 4 in service``."""
    low, high = instances["min"], instances["max"]
    return f"{low} in service" if low == high else f"{low} to {high} in service"


def plural(n: int, noun: str) -> str:
    """``1 load``, ``12 loads``."""
    return f"{format_count(n)} {noun}" + ("" if n == 1 else "s")


def unbroken(text: str) -> str:
    """The text with numbers and their units held together on one line."""
    return re.sub(r"(\d) (?=(?:%|µs|ms|s|min|h|d|[KMG]iB|B|M|G)(?:\W|$))", "\\1\u00a0", text)


def target_found(name: str, target: Mapping[str, Any]) -> str:
    """``812 ms``; of a target for models: ``812 ms (bert-3; 2 of 10 models missed it)``."""
    value = target_value(name, target["value"])
    if "judged" not in target:
        return value
    if not target["judged"]:
        return f"{ABSENT} (no model had requests enough)"
    missed = f"; {target['missed']} of {plural(target['judged'], 'model')} missed it" if target["missed"] else ""
    return f"{value} ({target['model']}{missed})"


def attained(name: str, target: Mapping[str, Any]) -> str:
    """``99.1 % of all requests``: those answered within a latency target; empty for others."""
    if target.get("attainment") is None:
        return ""
    return f"{percent(target['attainment'])} of {'hits' if name.startswith('warm') else 'all requests'}"


def target_value(name: str, value: float | None) -> str:
    """The value of one of the objective's targets, in its unit."""
    return amount(value, unit_of(name))


__all__ = ["ABSENT", "FAILURES", "LIVE_REASONS", "REASONS", "TARGETS", "attained", "count", "format_bytes",
           "format_count", "format_duration", "in_service", "money", "ms", "number", "paid", "percent", "plural",
           "share", "target_found", "target_title", "target_value", "unbroken"]
