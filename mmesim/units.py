"""Quantities with units: text in a scenario in, plain numbers inside, text in a report out.

Inside, time is int nanoseconds or float seconds (``_ns``, ``_s``), sizes are int bytes (``_bytes``), rates are float
bytes per second (``_bps`` is *bytes* per second; network speeds are written in bits, as vendors do).
"""

from __future__ import annotations

import math
import re

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
MIB = 1 << 20
GIB = 1 << 30

DURATION_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0,
                  "d": 86400.0, "w": 604800.0}
BYTE_UNITS = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
              "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
RATE_UNITS = {"bps": 1 / 8, "kbps": 1e3 / 8, "Mbps": 1e6 / 8, "Gbps": 1e9 / 8,
              **{f"{unit}/s": float(size) for unit, size in BYTE_UNITS.items()}}
FRACTION_UNITS = {"%": 1.0, "": 1.0}  # percent are divided, see parse_fraction

_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-zµ%/]*)\s*\Z")
_COMPOUND = re.compile(r"(?:\d+(?:\.\d+)?(?:d|h|m|s)\s*){2,}\Z")


def _parse(text: str, units: dict[str, float] | dict[str, int], what: str, example: str) -> float:
    match = _QUANTITY.match(text)
    if not match or match[2] not in units:
        known = ", ".join(unit for unit in units if unit)
        raise ValueError(f"{text!r} is not a {what}: write a number and a unit ({known}), e.g. {example}")
    value = float(match[1]) * units[match[2]]
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite {what}")
    return value


def parse_duration_s(text: str) -> float:
    """Seconds from ``90s``, ``1.5h``, ``250ms``, ``1h30m``. Raises ValueError with what was possible."""
    if _COMPOUND.match(text.strip()):
        return sum(_parse(part, DURATION_UNITS, "duration", "90s") for part in re.findall(r"[\d.]+[dhms]", text))
    return _parse(text, DURATION_UNITS, "duration", "90s or 1h30m")


def parse_bytes(text: str) -> int:
    """Bytes from ``250MB`` (10^6) or ``24GiB`` (2^30). Raises ValueError with what was possible."""
    return round(_parse(text, BYTE_UNITS, "size", "250MB or 24GiB"))


def parse_rate_bps(text: str) -> float:
    """Bytes per second from ``1.5Gbps`` (bits) or ``87MB/s`` (bytes). Raises ValueError with what was possible."""
    return _parse(text, RATE_UNITS, "data rate", "1.5Gbps or 87MB/s")


def parse_fraction(text: str) -> float:
    """A fraction from ``0.1%`` or ``0.001``. Raises ValueError with what was possible."""
    value = _parse(text, FRACTION_UNITS, "fraction", "0.1% or 0.001")
    return value / 100 if text.rstrip().endswith("%") else value  # 95 * 0.01 would not be 0.95


def ns(seconds: float) -> int:
    """Seconds to int nanoseconds, to the nearest."""
    return round(seconds * NS_PER_S)


def seconds(time_ns: int) -> float:
    """Int nanoseconds to seconds."""
    return time_ns / NS_PER_S


def format_duration(seconds: float) -> str:
    """``2.5 ms``, ``1.20 s``, ``1 h 30 min``: three significant digits, the unit a person would choose."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n) or "0 min"


def format_bytes(size: float) -> str:
    """``1.50 GiB``: three significant digits in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 999.5 else f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"


def format_count(n: float) -> str:
    """``12,345`` or ``86.4 M``: a count a person reads at once."""
    if abs(n) < 1e6:
        return f"{n:,.0f}"
    return f"{n / 1e6:,.3g} M" if abs(n) < 1e9 else f"{n / 1e9:,.3g} G"


def format_percent(fraction: float) -> str:
    """``99.95 %``: enough digits to tell it from 0 % and 100 %."""
    value = 100 * fraction
    if value in (0.0, 100.0):
        return f"{value:.0f} %"
    distance = min(abs(value), abs(100 - value))
    digits = 1 if distance >= 1 else min(4, 1 - math.floor(math.log10(distance)))
    return f"{value:.{digits}f} %"
