"""A profile for a GPU on which its model was not measured: device times by the scaling rule, the rest as on the other.

Times of the device (latency, gap) are multiplied by the rule's ratio and marked ``rule``, with the rule's measured
error. What belongs to the host, the files and the memory is taken over; what was measured becomes estimated.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from mmesim.calibrate.serving.scaling import Line, Scaling
from mmesim.calibrate.serving.written import time_text
from mmesim.profile.model import ModelProfile
from mmesim.profile.schema import KnownBytes, KnownDuration, LatencyPoint
from mmesim.profile.write import profile_yaml

HEAD = """\
# {model}, {backend} {precision} on {gpu}, scaled from {source}.
# Written by mmesim profile scale; nothing in it was measured on {gpu}.
"""
KEY = "rule-scaling"


def scaled_name(profile: ModelProfile, target: str) -> str:
    """``bert-base-pytorch-l4-from-t4``."""
    mark = f"-{profile.gpu.lower()}"
    return f"{profile.name.removesuffix(mark)}-{target.lower()}-from{mark}"


def scaled_text(profile: ModelProfile, rule: Scaling, name: str) -> str:
    """The profile on the rule's target as YAML."""
    file, line = profile.file, rule.line
    assert file.latency
    data = _mapping(file, profile.gpu)
    data |= {"name": name, "gpu": rule.target, "measured_on": None,
             "note": " ".join(filter(None, (file.note, f"Scaled from {rule.source}: not measured on {rule.target}."))),
             "sources": {**file.sources, KEY: rule.described()}}
    data["latency"] = {"basis": "rule", "source": KEY, "note": f"of {profile.name}'s times",
                       "batches": [_batch(point, line) for point in file.latency.batches]}
    ratio = line.ratio(profile.service_s(1))
    for gap in ("gap", "gap_per_item"):
        if known := getattr(file, gap):
            data[gap] = {"value": time_text(known.value * ratio), "basis": "rule", "source": KEY,
                         "note": f"of {profile.name}'s, by the ratio of batch 1"}
    return profile_yaml(HEAD.format(model=file.model, backend=file.backend, precision=file.precision, gpu=rule.target,
                                    source=rule.source), data)


def _batch(point: LatencyPoint, line: Line) -> dict[str, object]:
    return {"batch": point.batch, "infer": time_text(point.total_s * line.ratio(point.total_s))}


def _mapping(node: BaseModel, gpu: str) -> dict[str, Any]:
    """A part of a profile of `gpu` as it is written elsewhere: with units, and without what is not known."""
    found = {name: _value(node, name, child, gpu) for name in type(node).model_fields
             if (child := getattr(node, name)) not in (None, "", []) or name == "value"}
    if found.get("basis") == "measured":
        found |= {"basis": "estimated", "note": "; ".join(filter(None, (found.get("note"), f"as on {gpu}")))}
    return {"value": found.pop("value"), **found} if "value" in found else found


def _value(node: BaseModel, name: str, child: Any, gpu: str) -> Any:
    if isinstance(child, BaseModel):
        return _mapping(child, gpu)
    if isinstance(child, list) and child and isinstance(child[0], BaseModel):
        return [_mapping(one, gpu) for one in child]
    if isinstance(node, KnownDuration) and name in ("value", "min", "max"):
        return time_text(child)
    return f"{child}B" if isinstance(node, KnownBytes) and name == "value" else child
