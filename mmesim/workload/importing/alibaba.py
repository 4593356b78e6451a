"""Alibaba's GenAI serving trace (GenTD26): github.com/alibaba/clusterdata, cluster-trace-v2026-GenAI,
``lora_request_trace.csv``; Lin et al., "Understanding Diffusion Model Serving in Production", SoCC '25.

Columns as in the publisher's README and the first lines of the file at commit 7a6c496: ``gmt_create`` (date and time,
whole seconds, moved by an unknown offset), ``checkpoint_model_version_id`` (the base model, `M0000`), ``num_lora`` and
the facts of the request. Rows without a base model are left out.
"""

from __future__ import annotations

from pathlib import Path

from mmesim.workload.importing.columns import Columns, rows_of
from mmesim.workload.importing.rows import Notes, Requests
from mmesim.workload.importing.table import read_table

TIME, MODEL = "gmt_create", "checkpoint_model_version_id"
MORE = {"exec_time_seconds": "service_s", "num_lora": "loras", "num_images_per_prompt": "images",
        "num_inference_steps": "steps", "predict_type": "task", "predict_status": "status", "groupId": "group"}
"""The file's name -> ours."""


def looks_like(header: list[str]) -> bool:
    """The header of the requests."""
    return {TIME, MODEL} <= set(header)


def read(path: Path, notes: Notes) -> Requests:
    """All requests; `service_s` is the publisher's total execution time."""
    table = read_table(path, notes)
    kept = tuple(name for name in MORE if name in table.columns)
    rows = rows_of(table, Columns(TIME, "iso", MODEL, keep=kept), "", notes)
    assert isinstance(rows, Requests)
    return Requests(rows.t_ns, rows.model, {MORE[name]: column for name, column in rows.more.items()})
