"""What Triton's tools call things, in the words of profiles and of the catalog."""

from __future__ import annotations

import re

BACKENDS = {"pytorch_libtorch": "torchscript", "pytorch": "torchscript", "tensorrt_plan": "tensorrt",
            "onnxruntime_onnx": "onnxruntime", "tensorflow_savedmodel": "tf savedmodel",
            "tensorflow_graphdef": "tf graphdef"}
"""Triton's `platform` or `backend` -> the profile's `backend`."""
GPU_KINDS = re.compile(r"\b(A100|A10G|A10|A30|A40|H100|H200|K80|L4|L40|L40S|M60|P100|P4|T4G|T4|V100)\b")
VARIANT = re.compile(r"(?P<model>.+?)_(?:config_(?:\d+|default)|i\d+)\Z")
GROUP = re.compile(r"(\d+)\s*[:/]\s*(GPU|CPU|AUTO|MODEL)\Z", re.IGNORECASE)


def backend_name(triton: str) -> str:
    """The profile's word for a Triton platform or backend."""
    return BACKENDS.get(triton, triton)


def gpu_name(device: str) -> str:
    """The catalog's name of a GPU: ``Tesla T4`` and ``NVIDIA A100-SXM4-40GB`` -> ``T4``, ``A100``."""
    kind = GPU_KINDS.search(device.replace("-", " "))
    if kind:
        return kind[1]
    return re.sub(r"^(NVIDIA\s+)?(GeForce\s+|Tesla\s+)?", "", device.strip()).replace(" ", "_")


def model_of_variant(variant: str) -> str:
    """The model that Model Analyzer made a variant of: ``resnet50_config_3`` -> ``resnet50``; "" if it is none."""
    match = VARIANT.match(variant)
    return match["model"] if match else ""


def instance_group(text: str) -> tuple[int, set[str]] | None:
    """Instances and their kinds: ``2:GPU+1:CPU`` -> 3, {GPU, CPU}; None for anything else."""
    groups = [GROUP.match(part.strip()) for part in text.split("+")]
    if not all(groups):
        return None
    found = [group for group in groups if group]
    return sum(int(group[1]) for group in found), {group[2].upper() for group in found}
