"""Two scenarios to deploy: one with all that SageMaker can be told, one with what only `mmesim live serve` can do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmesim.planner.deploy import write_deployment
from mmesim.scenario.load import load_scenario
from mmesim.scenario.schema import Scenario

ALL_THAT_AWS_HAS = """
name: shop
endpoint:
  instance_type: ml.g4dn.2xlarge
  instances: {initial: 3, min: 2, max: 9}
  availability_zones: 2
  routing: least_outstanding
  server: {load_threads: 6, frontend_threads: 12, model_cache: disabled}
  autoscaling:
    - {use: target_tracking, metric: InvocationsPerInstance, target: 700, scale_in_cooldown: 10m}
    - {use: target_tracking, metric: GPUUtilization, target: 60, disable_scale_in: true}
    - {use: target_tracking, metric: ModelLatency, target: 250000, statistic: p99}
    - {use: step, metric: CPUUtilization, threshold: 300, cooldown: 2m, datapoints: 2,
       steps: [{from: 0, to: 50, add: 1}, {from: 80, add: 3}]}
    - {use: step, metric: GPUUtilization, threshold: 20, comparison: below, adjustment: percent_change_in_capacity,
       statistic: Maximum, min_adjustment: 2, steps: [{add: -30}]}
    - {use: scheduled, actions: [{at: 0, max: 8}, {at: 7h30m, every: 1d, min: 4}, {at: 30h, every: 7d, min: 2},
                                 {at: 26h, min: 5, max: 9}]}
models:
  - {profile: yolov8s-320-pytorch-t4, count: 12, name: "eye-{i:02}", host_bytes: 64MiB, artifact_bytes: 45MB,
     disk_bytes: 50MB, load_time: 1s, gpu_bytes: 300MiB, max_batch_size: 8}
  - {profile: yolov8s-320-pytorch-t4, name: eye-of-the-cat, pin: true, host_bytes: 64MiB, artifact_bytes: 45MB,
     disk_bytes: 50MB, load_time: 1s, gpu_bytes: 310MiB}
workload: {arrivals: {use: poisson, rate_rps: 4}}
"""
ONLY_LIVE = """
name: lab
endpoint:
  instance_type: ml.g6.xlarge
  instances: {initial: 2, min: 1, max: 3}
  routing: {use: ch_bl, eps: 0.5}
  placement: hash
  eviction: {gpu: {use: "house_rules:Numerical"}, disk: belady}
  prewarm: {use: pinned}
  admission: {use: queue_limit, per_copy: 9}
  server: {max_models: 7, keep_on_disk: false, invocation_timeout: 20s}
  autoscaling: [{use: kpa, target: 4}, {use: fixed, instances: 2}]
models:
  - {profile: yolov8s-320-pytorch-l4, count: 3, host_bytes: 64MiB, artifact_bytes: 45MB, disk_bytes: 50MB,
     load_time: 1s, gpu_bytes: 300MiB}
workload: {arrivals: {use: poisson, rate_rps: 4}}
"""
HOUSE_RULES = '''
from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import EvictionPolicy


@dataclass
class Numerical(EvictionPolicy):
    """The first by number leaves first."""

    name: ClassVar[str] = "numerical"

    def victims(self, candidates, need_bytes, now_ns):
        return sorted(candidates, key=lambda candidate: candidate.model)
'''
VALUES = {"ACCOUNT": "123456789012", "ROLE": "sagemaker/endpoints", "BUCKET": "my-models", "PREFIX": "shop/v1",
          "IMAGE": "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-tritonserver:25.09-py3",
          "DAY1": "2031-03-02"}


def scenario(text: str, folder: Path) -> Scenario:
    """The scenario in a file of its own, with the user's policy beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "house_rules.py").write_text(HOUSE_RULES)
    (folder / "scenario.yaml").write_text(text)
    return load_scenario(str(folder / "scenario.yaml"))


def deployed(text: str, folder: Path, name: str = "shop") -> Path:
    """The folder that `write_deployment` wrote."""
    write_deployment(scenario(text, folder / "plan"), folder / "deploy", name=name, notes=["seen by nobody"])
    return folder / "deploy"


def read(file: Path) -> Any:
    """A JSON file."""
    return json.loads(file.read_text())
