"""Which past a path stands for, CloudWatch's record laid beside it, and the slice of it that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mmesim.errors import InputError, Problem
from mmesim.planner.history import cloudwatch
from mmesim.planner.history.evidence import Evidence
from mmesim.planner.history.from_journal import journal_folder, read_journal
from mmesim.planner.history.from_log import per_minute, read_log
from mmesim.planner.history.from_run import read_run
from mmesim.planner.history.past import TOTAL, Past
from mmesim.results.output import MARKER
from mmesim.units import format_duration, ns, parse_duration_s
from mmesim.workload.importing.importer import MINUTE_NS, SECOND_NS
from mmesim.workload.importing.rows import Counts


def read_past(path: Path, metrics: Sequence[Path] = (), begins: str | None = None) -> Past:
    """What was recorded at `path`, with CloudWatch's `metrics`. `begins`: the wall clock at its time 0 (ISO 8601),
    where the path does not tell. Raises InputError."""
    past = _read(path)
    if begins is not None:
        past = replace(past, begins_unix_ns=unix_ns(begins, "--begins"))
    if not metrics:
        return past
    if past.begins_unix_ns is None:
        raise InputError(Problem("times count from 0, so CloudWatch's cannot be laid beside them", file=past.where,
                                 hint="say what time 0 was, e.g. --begins 2026-03-02T00:00:00Z"))
    export = cloudwatch.read_export(metrics)
    more = cloudwatch.evidence_of(export, past.begins_unix_ns)
    return past.with_evidence(more, *export.notes)


def _read(path: Path) -> Past:
    if path.is_dir():
        if (path / MARKER).is_file():
            return read_run(path)
        if (journal := journal_folder(path)) is not None:
            return read_journal(journal)
        hint = "give a folder that `mmesim run` or `mmesim live load` wrote, or the state of `mmesim live serve`"
        raise InputError(Problem("holds neither a run nor a journal of a live endpoint", file=str(path), hint=hint))
    return _read_totals(path) if path.is_file() and cloudwatch.is_export(path) else read_log(path)


def _read_totals(path: Path) -> Past:
    """An endpoint's metrics alone: CloudWatch knows no models."""
    export = cloudwatch.read_export([path])
    asked = export.one(cloudwatch.INVOCATIONS, cloudwatch.SUM)
    if asked is None:
        raise InputError(Problem("there is no Sum of Invocations in it: how many requests came is not known",
                                 file=str(path), hint='ask for it, with the label "Invocations Sum"'))
    if asked.period_s % 60 or (asked.start_ns % MINUTE_NS).any():
        raise InputError(Problem(f"Invocations come in periods of {asked.period_s} s, which are no minutes",
                                 file=str(path), hint="ask for a Period of 60, 300 or 3600"))
    zero_ns = int(asked.start_ns.min())
    rows = _spread(asked, zero_ns)
    evidence = cloudwatch.evidence_of(export, zero_ns)
    tracks = {**evidence.tracks, "requests": per_minute(rows)}
    notes = [f"Invocations of {asked.period_s} s are spread evenly over their minutes"] if asked.period_s > 60 else []
    end_ns = int(asked.end_ns.max()) - zero_ns
    return Past("totals per minute", str(path), rows, Evidence(None, tracks), end_ns, zero_ns,
                notes=(*notes, *export.notes))


def _spread(asked: cloudwatch.Series, zero_ns: int) -> Counts:
    """Sums of longer periods as evenly over their minutes as whole numbers go."""
    minutes = asked.period_s // 60
    nth = np.tile(np.arange(minutes), len(asked.value))
    total = np.repeat(np.rint(asked.value).astype(np.int64), minutes)
    t_ns = np.repeat(asked.start_ns - zero_ns, minutes) + nth * MINUTE_NS
    count = (nth + 1) * total // minutes - nth * total // minutes
    order = np.argsort(t_ns, kind="stable")
    order = order[count[order] > 0]
    return Counts(t_ns[order], np.full(len(order), TOTAL, object), count[order])


# ---- the slice


def sliced(past: Past, since: str | None = None, until: str | None = None, last: str | None = None) -> Past:
    """The part that is asked for: durations from the past's beginning (``2d``), or dates and times (ISO 8601). Raises
    InputError."""
    if last is not None and (since is not None or until is not None):
        raise InputError(Problem("--last with --from or --to says the slice twice", hint="give one of them"))
    begin_ns = 0 if since is None else _at(past, since, "--from")
    end_ns = past.end_ns if until is None else _at(past, until, "--to")
    if last is not None:
        begin_ns = max(0, past.end_ns - _duration_ns(last, "--last"))
    if not 0 <= begin_ns < min(end_ns, past.end_ns):
        raise InputError(Problem("nothing is left of the past", file=past.where, hint="it lasts "
                                 f"{format_duration(past.end_ns / 1e9)}{_began(past)}: see --from, --to, --last"))
    return past.cut(begin_ns, end_ns)


def _began(past: Past) -> str:
    if past.begins_unix_ns is None:
        return ""
    return f" from {datetime.fromtimestamp(past.begins_unix_ns / 1e9, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _at(past: Past, text: str, option: str) -> int:
    if text[:4].isdigit() and "-" in text:
        if past.begins_unix_ns is None:
            raise InputError(Problem(f"{text}: the past's times count from 0", file=option,
                                     hint="write a duration from its beginning (2d), or say what time 0 was: --begins"))
        return unix_ns(text, option) - past.begins_unix_ns
    return _duration_ns(text, option)


def _duration_ns(text: str, option: str) -> int:
    try:
        return ns(parse_duration_s(text))
    except ValueError as error:
        raise InputError(Problem(str(error), file=f"{option} {text}")) from None


def unix_ns(text: str, option: str) -> int:
    """A date and time in ns since 1970; UTC where it names no offset. Raises InputError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(Problem("is no date and time", file=f"{option} {text}",
                                 hint="write ISO 8601, e.g. 2026-03-02T14:00:00Z")) from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round(at.timestamp()) * SECOND_NS
