"""Writes a profile as YAML that a person can read: one number a line, each with how it is known."""

from __future__ import annotations

import json
from dataclasses import replace

from transcribe_data import RULES, K, Profile, Table, mb

HEAD = """\
# {model}, {backend} {precision} on {gpu}.
# Written by profiles/transcribe.py from published measurements; every number says how it is known.
"""


def plain(text: object) -> str:
    """A YAML scalar inside braces; quoted only where it must be."""
    written = str(text)
    risky = any(mark in written for mark in ":,[]{}#&*!|>'\"%@`") or written[:1] in "-? " or not written
    return json.dumps(written, ensure_ascii=False) if risky else written


def _number(number: K, keys: dict[str, str]) -> str:
    """``{value: …, basis: …, source: …}`` on one line."""
    parts = {"basis": number.basis, "source": keys[number.source], "at": number.at, "note": number.note}
    shown = [f"value: {number.value}", *(f"{name}: {plain(text)}" for name, text in parts.items() if text)]
    return "{" + ", ".join(shown) + "}"


def _short_keys(sources: list[str]) -> dict[str, str]:
    """Full reference -> key: rules by their own name, the others by number."""
    own = {text: key for key, text in RULES.items()}
    keys, numbered = {}, 0
    for text in dict.fromkeys(sources):
        numbered += text not in own
        keys[text] = own.get(text) or f"s{numbered}"
    return keys


def written(profile: Profile) -> str:
    """The profile as YAML."""
    numbers: dict[str, K | None] = {
        "max_batch_size": profile.max_batch_size, "instance_count": profile.instance_count,
        "preferred_batch_sizes": profile.preferred, "max_queue_delay": profile.delay, "gpu_share": profile.share,
        "cpu_cores": profile.cpu_cores, "overhead": profile.overhead, "host_cpu.per_request": profile.cpu_per_request,
        "host_cpu.per_item": profile.cpu_per_item, "gpu_bytes": profile.gpu_bytes,
        "framework_base_bytes": profile.framework_base_bytes, "host_bytes": profile.host_bytes,
        "artifact_bytes": K(mb(0.93 * float(profile.files.value)), "rule", RULES["rule-archive"]),
        "disk_bytes": replace(profile.files, value=mb(float(profile.files.value))),
        "load.fixed": profile.load_fixed, "load.time": profile.load_time}
    known = {name: number for name, number in numbers.items() if number is not None}
    keys = _short_keys([profile.latency.source, *(number.source for number in known.values())])
    texts = {name: getattr(profile, name) for name in
             ("name", "model", "task", "input", "backend", "precision", "gpu", "framework", "note")}
    lines = [f"{name}: {plain(text)}" for name, text in texts.items() if text]
    lines += ["", "sources:", *(f"  {key}: {plain(text)}" for text, key in keys.items()), ""]
    lines += _latency_lines(profile.latency, keys)
    opened = ""
    for name, number in known.items():
        group, _, leaf = name.rpartition(".")
        if group and group != opened:
            lines.append(f"{group}:")
        opened = group
        lines.append(f"{'  ' if group else ''}{leaf}: {_number(number, keys)}")
    return HEAD.format(**texts) + "\n".join(lines) + "\n"


def _latency_lines(latency: Table, keys: dict[str, str]) -> list[str]:
    head = {"basis": latency.basis, "source": keys[latency.source], "at": latency.at, "note": latency.note}
    lines = ["latency:", *(f"  {name}: {plain(text)}" for name, text in head.items() if text), "  batches:"]
    for batch, *parts in latency.points:
        named = zip(("input", "infer", "output"), parts, strict=True)
        shown = [f"{name}: {ms:g}ms" for name, ms in named if ms or name == "infer"]
        lines.append(f"    - {{batch: {batch}, {', '.join(shown)}}}")
    return [*lines, ""]
