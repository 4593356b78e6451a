"""The objective's targets in words: what they are called and how their values are written."""

from __future__ import annotations

import math
import re

from mmesim.units import format_duration, format_percent

TARGETS = {"p50_ms": "p50 latency", "p99_ms": "p99 latency", "warm_p50_ms": "p50 latency of hits",
           "warm_p99_ms": "p99 latency of hits", "error_rate": "error rate", "cold_start_ratio": "cold starts",
           "cost_per_hour": "cost per hour"}
_NAME = re.compile(r"(?:models\.(?P<models>.*)\.)?(?P<target>\w+)(?:, (?P<loss>.*))?", re.DOTALL)


def target_title(name: str) -> str:
    """``p99 latency``, ``p99 latency of bert-*``, ``p99 latency, an instance lost``."""
    found = _NAME.fullmatch(name)
    if not found or found["target"] not in TARGETS:
        return name
    models, loss = found["models"], found["loss"]
    return f"{TARGETS[found['target']]}{f' of {models}' if models else ''}{f', {loss}' if loss else ''}"


def unit_of(name: str) -> str:
    """Of a target: ``ms``, ``USD/h`` or ``ratio``."""
    found = _NAME.fullmatch(name)
    target = found["target"] if found else name
    return "ms" if target.endswith("_ms") else "USD/h" if target.startswith("cost") else "ratio"


def amount(value: float | None, unit: str) -> str:
    """A number in its unit: ``612 ms``, ``0.1 %``, ``$1.41/h``; a dash for none, and for what is beyond every limit."""
    if value is None or not math.isfinite(value):
        return "–"
    if unit == "ms":
        return format_duration(value / 1e3)
    return format_percent(value) if unit == "ratio" else f"${value:,.2f}/h"
