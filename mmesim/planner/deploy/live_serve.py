"""`live-serve.yaml`: the chosen scenario as settings of `mmesim live serve`, with the very same policies.

The section `endpoint` is the scenario's own; capacities are what the plan let models fill of one instance; what is
expected of each model before its first load is what the plan expected. A policy that knows the future has no place on
a live endpoint: LRU stands in for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mmesim.core.policy import ClairvoyantEviction, Policies, every
from mmesim.scenario.build_models import ModelBuilder
from mmesim.scenario.references import References, resolve
from mmesim.scenario.room import instance_spec
from mmesim.scenario.schema import Scenario

ABOUT = """\
# A multi-model endpoint on your own Triton servers, under the policies of the plan.
#
#   mmesim live serve live-serve.yaml --check                          # what is wrong with it
#   mmesim live serve live-serve.yaml                                  # serve
#   mmesim live serve live-serve.yaml --set store.source=FOLDER        # models from a folder of *.tar.gz files
#
# Fill in BUCKET and PREFIX. As it stands, Tritons are started on this machine, one process for each instance. For one
# Triton per machine, name them (docs/live.md), and leave out `local`:
#
#   servers:
#     - {name: gpu-1, http: "10.0.0.1:8000", grpc: "10.0.0.1:8001", metrics: "10.0.0.1:8002", repository: /models/gpu-1}
"""
SIMULATED = ("like", "instance_type", "storage", "provisioning", "framework_versions")
"""What the settings say of the simulated world: it has no meaning for real servers."""


def write_live_serve(scenario: Scenario, folder: Path, name: str) -> list[Path]:
    """Writes ``live-serve.yaml``, and beside it the files of policies of the user's own; returns what was written."""
    settings, own = live_settings(scenario, name), _OwnPolicies((scenario.base_dir, Path.cwd()), folder)
    settings["endpoint"] = own.carried(settings["endpoint"])
    text = ABOUT + yaml.safe_dump(settings, sort_keys=False, width=120, default_flow_style=None)
    file = folder / "live-serve.yaml"
    file.write_text(text, encoding="utf-8")
    return [file, *own.copies.values()]


def live_settings(scenario: Scenario, name: str) -> dict[str, Any]:
    """The file's content."""
    found = resolve(scenario)
    room = instance_spec(scenario.endpoint.server, found.instance_type)
    capacity = {"gpu_memory": room.gpu_bytes, "host_memory": max(1, room.host_bytes), "disk": room.disk_bytes}
    return {"name": name, "seed": scenario.seed, "endpoint": _endpoint(scenario, found),
            "capacity": {what: f"{size}B" for what, size in capacity.items()},
            "store": {"source": "s3://BUCKET/PREFIX"}, "models": {"rules": list(_rules(scenario, found))},
            "gateway": {"port": 8080, "grpc_port": 8082}, "management": {"port": 8081}}


def _endpoint(scenario: Scenario, found: References) -> dict[str, Any]:
    settings = scenario.endpoint.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for section in SIMULATED:
        settings.pop(section, None)
    settings["instances"] = scenario.endpoint.instances.model_dump()
    if stand_ins := dict.fromkeys(clairvoyant(found.policies), "lru"):
        settings["eviction"] = {**settings["eviction"], **stand_ins}
    return settings


def clairvoyant(policies: Policies) -> list[str]:
    """Where an eviction policy, or one inside it, knows the future: ``gpu``, ``disk``."""
    knowing = {names[0] for names, policy in every(policies) if isinstance(policy, ClairvoyantEviction)}
    return [where for where in ("gpu", "disk") if f"{where}_eviction" in knowing]


def _rules(scenario: Scenario, found: References) -> Iterator[Mapping[str, Any]]:
    """A rule for each group of models, the narrower patterns first: the first that matches counts."""
    builder = ModelBuilder(scenario, found.instance_type)
    rules = []
    for group in found.groups:
        spec = next(builder.models(group))[0]
        rule = {"match": pattern(group.settings.names()), "gpu_memory": f"{spec.gpu_bytes}B",
                "host_memory": f"{spec.host_bytes}B", "load_time": f"{spec.reload_disk_s:.3f}s",
                "service_time": f"{spec.service_s:.6f}s"}
        if spec.framework_base_bytes:
            rule |= {"framework": spec.framework, "framework_memory": f"{spec.framework_base_bytes}B"}
        rules.append({**rule, "pin": True} if spec.pinned else rule)
    yield from sorted(rules, key=lambda rule: -len(str(rule["match"])))


def pattern(names: list[str]) -> str:
    """A pattern for all of these names: what they begin and end with, and * between where they differ."""
    first, shortest = names[0], min(map(len, names))
    if len(names) == 1:
        return first
    head = next((i for i in range(shortest) if len({name[i] for name in names}) > 1), shortest)
    tail = next((i for i in range(shortest - head) if len({name[-1 - i] for name in names}) > 1), shortest - head)
    return f"{first[:head]}*{first[len(first) - tail:]}"


class _OwnPolicies:
    """Brings the files that ``module:Class`` stands for along, so that the settings find them wherever they go."""

    def __init__(self, folders: Sequence[Path], target: Path) -> None:
        self.folders = folders
        """Where they may be, as :mod:`mmesim.policies.loading` looks for them."""
        self.target = target
        self.copies: dict[Path, Path] = {}
        """File -> its copy."""

    def carried(self, value: Any) -> Any:
        """The settings with the copies' names."""
        if isinstance(value, Mapping):
            return {name: self.carried(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.carried(item) for item in value]
        return self._named(value) if isinstance(value, str) else value

    def _named(self, text: str) -> str:
        module, _, class_name = text.rpartition(":")
        file = module if module.endswith(".py") else module.replace(".", "/") + ".py"
        found = next((folder / file for folder in self.folders if module and (folder / file).is_file()), None)
        return text if found is None else f"{self._copy(found.resolve()).name}:{class_name}"

    def _copy(self, file: Path) -> Path:
        if file not in self.copies:
            taken = {copy.name for copy in self.copies.values()}
            name = f"{len(taken)}_{file.name}" if file.name in taken else file.name
            self.copies[file] = Path(shutil.copyfile(file, self.target / name))
        return self.copies[file]
