"""Runs the program as its users do: another process, another folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = [sys.executable, "-m", "mmesim"]
SHORT = ("--set", "duration=2m", "--set", "warmup=0s")

EVERYTHING = """
name: everything
seed: 5
duration: 12m
warmup: 1m
endpoint:
  instance_type: ml.g4dn.2xlarge
  instances: {initial: 2, min: 1, max: 4}
  availability_zones: 2
  routing: {use: least_outstanding, spill_outstanding: 3}
  autoscaling:
    - {use: target_tracking, metric: InvocationsPerInstance, statistic: Sum, target: 150, scale_in_cooldown: 60s}
  provisioning: {time: {law: lognormal, mean: 60s, cv: 0.2}}
  server: {load_time_cv: 0.3}
  storage: {s3_attempts: 3}
models:
  - {profile: resnet50-pytorch-t4, count: 60, name: "resnet-{i:02}", service_law: {law: lognormal, cv: 0.5}}
  - {profile: bert-large-pytorch-t4, count: 12, name: "bert-{i:02}"}
workload:
  arrivals: {use: mmpp, rates_rps: [4, 20], mean_sojourn: [60s, 20s]}
  popularity: {use: drifting, s: 0.9, every: 2m, swap: 10%}
  sessions: {repeat: 0.2}
  retries: {attempts: 3, backoff: 500ms, on: [424, 429, 503]}
  surges: [{at: 5m, for: 40s, factor: 8, models: "bert-*"}]
faults:
  - {use: instance_crash, at: 4m}
  - {use: s3_slow, at: 2m, for: 1m, factor: 5}
  - {use: s3_outage, at: 5m, for: 90s}
  - {use: load_failures, every: 3m, for: 10s, models: "resnet-0*"}
checks: {intended_overload: true}
objective: {p99_ms: 200, error_rate: 50%}
output: {interval: 30s, requests: true}
"""
"""Faults, autoscaling, retries, spill, evictions: everything that could depend on what it must not depend on."""


def environment(**changes: str) -> dict[str, str]:
    """This process's, with the checkout importable from any folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **changes}


def mmesim(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """`mmesim ARGUMENTS`, ended."""
    return subprocess.run([*PROGRAM, *arguments], cwd=cwd, text=True, check=False, timeout=280,
                          **{"capture_output": True, "env": environment(), **options})


def begun(*arguments: str, cwd: Path, **changes: str) -> subprocess.Popen[str]:
    """`mmesim ARGUMENTS`, running."""
    return subprocess.Popen([*PROGRAM, *arguments], cwd=cwd, text=True, env=environment(**changes),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
