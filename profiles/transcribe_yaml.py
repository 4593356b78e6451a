"""A transcribed profile as the mapping that is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from transcribe_data import RULES, K, Profile, Table, mb

from mmesim.calibrate.serving.written import with_keys
from mmesim.profile.write import Verbatim, profile_yaml

HEAD = """\
# {model}, {backend} {precision} on {gpu}.
# Written by profiles/transcribe.py from published measurements; every number says how it is known.
"""


def number(known: K) -> dict[str, object]:
    """A number with its full reference."""
    return {"value": Verbatim(known.value), "basis": known.basis, "source": known.source, "at": known.at,
            "note": known.note}


def with_rules(profile: dict[str, Any]) -> dict[str, Any]:
    """References replaced by keys: rules by their own names, the others by number."""
    return with_keys(profile, {text: key for key, text in RULES.items()})


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
    texts = {name: getattr(profile, name) for name in
             ("name", "model", "task", "input", "backend", "precision", "gpu", "framework", "note")}
    data: dict[str, Any] = {**texts, "latency": _latency(profile.latency)}
    for name, known in numbers.items():
        if known is not None:
            group, _, leaf = name.rpartition(".")
            into = data.setdefault(group, {}) if group else data
            into[leaf] = number(known)
    return profile_yaml(HEAD.format(**texts), with_rules(data))


def _latency(latency: Table) -> dict[str, object]:
    points = []
    for batch, *parts in latency.points:
        named = zip(("input", "infer", "output"), parts, strict=True)
        points.append({"batch": batch, **{name: f"{ms:g}ms" for name, ms in named if ms or name == "infer"}})
    return {"basis": latency.basis, "source": latency.source, "at": latency.at, "note": latency.note,
            "batches": points}
