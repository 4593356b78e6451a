"""A transcribed profile as the mapping that is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from transcribe_data import RULES, K, Profile, Table, mb

from mmesim.profile.write import Verbatim, profile_yaml

HEAD = """\
# {model}, {backend} {precision} on {gpu}.
# Written by profiles/transcribe.py from published measurements; every number says how it is known.
"""


def _number(number: K, keys: dict[str, str]) -> dict[str, object]:
    return {"value": Verbatim(number.value), "basis": number.basis, "source": keys[number.source], "at": number.at,
            "note": number.note}


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
    data: dict[str, Any] = {**texts, "sources": {key: text for text, key in keys.items()},
                            "latency": _latency(profile.latency, keys)}
    for name, number in known.items():
        group, _, leaf = name.rpartition(".")
        into = data.setdefault(group, {}) if group else data
        into[leaf] = _number(number, keys)
    return profile_yaml(HEAD.format(**texts), data)


def _latency(latency: Table, keys: dict[str, str]) -> dict[str, object]:
    points = []
    for batch, *parts in latency.points:
        named = zip(("input", "infer", "output"), parts, strict=True)
        points.append({"batch": batch, **{name: f"{ms:g}ms" for name, ms in named if ms or name == "infer"}})
    return {"basis": latency.basis, "source": keys[latency.source], "at": latency.at, "note": latency.note,
            "batches": points}
