"""Three worlds: a real trace each, models with measured profiles, and a fleet that holds about a tenth of them.

*genai*: Alibaba's GenTD26 (16 days of a Stable Diffusion service, 77 base models), each request with its own measured
execution time; the base models' loads as the same trace's metrics have them (median 2.8 s where the weights are on the
host, 34 s where they come over the network); 4 GiB of memory a model is an assumption. *azure-1350* and *azure-500*:
functions of the Azure Functions 2019 trace stand for models; five profiles with measured memory take turns by
popularity. The rows are not shipped; `DATA` holds them.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

MEASURED = ("resnet50-pytorch-t4", "bert-base-tensorrt-t4", "vit-large-pytorch-t4", "bert-base-pytorch-t4",
            "resnet50-tensorrt-t4")
"""Profiles whose memory was measured on a T4: 284, 327, 1263, 505 and 586 MB a copy."""
VIT_S = 0.04225
"""S(1) of vit-large-pytorch-t4; a trace's column `work` is a request's time in units of it."""


@dataclass(frozen=True)
class World:
    """A scenario file, ready to be compared in."""

    name: str
    scenario: Path
    requests: str
    """What the trace is, in a few words."""


def worlds(data: Path, folder: Path) -> list[World]:
    """Write traces and scenarios to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    traces = data / "traces"
    return [_genai(traces, folder), _azure(traces, folder, "azure-1350", "azure_functions_2019_1350f_24h_counts.csv.gz",
                                           range(480, 660), 6, 0),
            _azure(traces, folder, "azure-500", "azure_functions_2019_500f_8h_counts.csv.gz", range(90), 2, 1)]


def _genai(traces: Path, folder: Path) -> World:
    rows = _rows(traces / "alibaba_genai_requests_dev.csv.gz")
    times = [float(row["service_s"]) for row in rows]
    path = folder / "genai.csv"
    lines = [f"{row['timestamp_s']},{row['model']},{time / VIT_S:.3f}" for row, time in zip(rows, times, strict=True)]
    path.write_text("timestamp_s,model,work\n" + "\n".join(lines) + "\n")
    scenario = folder / "genai.yaml"
    scenario.write_text(f"""# Alibaba GenTD26, base models; loads as in its metrics basemodel_update_latency.
name: genai
seed: 1
warmup: 1d
endpoint:
  instance_type: ml.g4dn.2xlarge
  instances: 3
  server: {{invocation_timeout: 600s}}
  metrics: {{period: 1h}}
  storage: {{s3_connection_rate: 36MB/s, s3_connections: 4}}    # 4 GiB in some 31 s, and the load
models:
  - {{profile: vit-large-pytorch-t4, count: {len({row['model'] for row in rows})}, name: "base{{i:03}}",
     gpu_bytes: 4GiB, host_bytes: 1GiB, artifact_bytes: 4GiB, disk_bytes: 4GiB, load_time: 2.8s}}
workload: {{trace: genai.csv}}
objective: {{p99_ms: 200000}}
checks: {{intended_overload: true}}
output: {{interval: 6h, trace: false, journal: false}}
""")
    return World("genai", scenario, f"{len(rows):,} requests, 77 base models, 16 days")


def _azure(traces: Path, folder: Path, name: str, file: str, minutes: range, instances: int, left_out: int) -> World:
    """A slice of a day's counts without the `left_out` heaviest functions; `minutes` of the trace's own clock."""
    rows = [row for row in _rows(traces / file) if int(row["minute"]) in minutes]
    total: Counter[str] = Counter()
    for row in rows:
        total[row["model"]] += int(row["count"])
    dropped = {model for model, _ in total.most_common(left_out)}
    kept = [row for row in rows if row["model"] not in dropped]
    lines = [f"{int(row['minute']) - minutes.start},{row['model']},{row['count']}" for row in kept]
    (folder / f"{name}.csv").write_text("minute,model,count\n" + "\n".join(lines) + "\n")
    models = len(total) - len(dropped)
    scenario = folder / f"{name}.yaml"
    scenario.write_text(f"""# Azure Functions 2019, minutes {minutes.start} to {minutes.stop} of a day, without the \
{left_out} heaviest functions.
name: {name}
seed: 1
warmup: 30m
endpoint:
  instance_type: ml.g4dn.2xlarge
  instances: {instances}
models:
""" + "".join(f"  - {{profile: {MEASURED[n % len(MEASURED)]}, count: 1, name: m{n:04}}}\n" for n in range(models))
        + f"""workload:
  trace: {name}.csv
  trace_options: {{map: round_robin, expand: uniform}}
objective: {{p99_ms: 5000}}
checks: {{intended_overload: true}}
output: {{interval: 10m, trace: false, journal: false}}
instance_types:       # room for all: what keep-alive policies do when memory does not bind them
  roomy: {{vcpus: 8, ram_bytes: 1TiB, gpu: T4, gpu_count: 1, gpu_bytes: 4TiB, gpu_nominal_bytes: 4TiB, disk_bytes: 8TiB,
          disk_kind: nvme, disk_read_bps: 3GB/s, disk_write_bps: 1GB/s, network_baseline_bps: 1.25GB/s,
          network_burst_bps: 3.125GB/s, price_per_hour: 1.0}}
""")
    requests = sum(int(row["count"]) for row in kept)
    return World(name, scenario, f"{requests:,} requests, {models:,} functions, {len(minutes) / 60:.0f} hours")


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))
