"""The controller's behaviour, pinned by transcripts.

A transcript is a story: ``> time event`` lines go in, the indented lines are what the controller answers. Rewrite one
with ``MMESIM_REWRITE=1 pytest tests/test_controller.py`` and commit only what you understand.

Set-up lines (``! key value``): ``gpu``, ``host``, ``disk`` capacities, ``models`` as ``name:gpu[:disk[:pinned]]``,
``set field=value`` of the EndpointSpec, ``policy kind=use``. Other lines: ``> 1s missed a``, ``> 2s downloaded 0 a``,
``> 3s loaded 0 a [bytes]``, ``> 3s oom 0 a``, ``> 3s load-failed 0 a``, ``> 4s unloaded 0 a``, ``> 4s idle 0 a``,
``> 0s joined 0``, ``> 9s lost 0``, ``> 9s drained 0``, ``> 5s wished a``, ``> 5s tick``, ``> 60s metrics
GPUUtilization.Average=90``; ``= 0 a outstanding=2 last_use=3s`` sets what the data plane would; ``?`` shows states.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from mmesim.core import events as ev
from mmesim.core.controller import EndpointController
from mmesim.core.lifecycle import Residency
from mmesim.core.policy import Policies
from mmesim.core.residency import ResidencyTable
from mmesim.core.types import EndpointSpec, InstanceSpec, ModelSpec
from mmesim.policies.registry import resolve
from mmesim.units import ns, parse_duration_s

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


class Story:
    """One controller, driven by the lines of a transcript."""

    def __init__(self) -> None:
        self.capacity = {"gpu": 1000, "host": 10_000, "disk": 10_000}
        self.models: list[ModelSpec] = []
        self.spec: dict[str, object] = {}
        self.policies = {"routing": "least_outstanding", "placement": "least_loaded", "gpu_eviction": "lru",
                         "disk_eviction": "lru", "prewarm": "none", "admission": "always"}
        self.autoscaling: list[tuple[str, dict[str, object]]] = []
        self.desired = 1
        self.controller: EndpointController | None = None

    def play(self, text: str) -> str:
        """The transcript with the controller's answers in place."""
        lines: list[str] = []
        for line in text.splitlines():
            if line.startswith("    "):
                continue
            lines.append(line)
            lines += [f"    {answer}" for answer in self.line(line)]
        return "\n".join(lines) + "\n"

    def line(self, line: str) -> list[str]:
        """What the controller answers to one line of a transcript."""
        words = line.split()
        if not words or line.startswith("#"):
            return []
        if words[0] == "!":
            self._set_up(words[1], words[2:])
            return []
        if self.controller is None:
            self._begin()
        assert self.controller is not None
        if words[0] == "=":
            self._data_plane(int(words[1]), words[2], words[3:])
            return []
        if words[0] == "?":
            return self._states()
        now_ns = ns(parse_duration_s(words[1]))
        actions = self.controller.step(self._event(words[2], words[3:]), now_ns)
        self.controller.check()
        return [self._shown(action) for action in actions]

    def _set_up(self, key: str, words: list[str]) -> None:
        if key in self.capacity:
            self.capacity[key] = int(words[0])
        elif key == "models":
            self.models = [self._model(*word.split(":")) for word in words]
        elif key == "set":
            self.spec |= {name: int(value) for name, value in (word.split("=") for word in words)}
        elif key == "desired":
            self.desired = int(words[0])
        elif key == "autoscaling":
            self.autoscaling.append((words[0], dict(word.split("=") for word in words[1:])))
        else:
            self.policies |= dict(word.split("=") for word in words)

    @staticmethod
    def _model(name: str, gpu: str, disk: str = "10", pinned: str = "") -> ModelSpec:
        return ModelSpec(name, int(gpu), 1, int(disk), int(disk), pinned=bool(pinned), reload_disk_s=1, reload_s3_s=5)

    def _begin(self) -> None:
        instance = InstanceSpec(self.capacity["gpu"], self.capacity["host"], self.capacity["disk"])
        self.table = ResidencyTable(len(self.models), 4)
        kind = {"gpu_eviction": "eviction", "disk_eviction": "eviction"}
        chosen = {name: resolve(kind.get(name, name), use, {}, Path()) for name, use in self.policies.items()}
        scaling = tuple(resolve("autoscaling", use, {k: float(v) if str(v).isdigit() else v for k, v in given.items()},
                                Path()) for use, given in self.autoscaling)
        policies = Policies(**chosen, autoscaling=scaling)  # type: ignore[arg-type]
        self.controller = EndpointController(EndpointSpec(instance, **self.spec), self.models,  # type: ignore[arg-type]
                                             policies, self.table, desired=self.desired)

    def _index(self, name: str) -> int:
        return [model.name for model in self.models].index(name)

    def _data_plane(self, instance: int, model: str, words: list[str]) -> None:
        row = self.table.row(instance, self._index(model))
        for name, value in (word.split("=") for word in words):
            if name == "last_use":
                self.table.copies["last_use_ns"][row] = ns(parse_duration_s(value))
                continue
            change = int(value) - int(self.table.copies[name][row])
            self.table.copies[name][row] = int(value)
            if name == "outstanding":
                self.table.instances[name][instance] += change
                self.table.models[name][self._index(model)] += change

    def _event(self, verb: str, words: list[str]) -> ev.Event:
        if verb in ("joined", "lost", "drained"):
            instance = int(words[0])
            return {"joined": ev.InstanceJoined(instance), "lost": ev.InstanceLost(instance, "crash"),
                    "drained": ev.InstanceDrained(instance)}[verb]
        if verb == "tick":
            return ev.Tick()
        if verb == "metrics":
            values = {name: float(value) for name, value in (word.split("=") for word in words)}
            return ev.MetricsPublished(0, values)
        if verb in ("missed", "wished", "removed", "added"):
            of = {"missed": ev.ModelMissed, "wished": ev.CopyWished, "removed": ev.ModelRemoved, "added": ev.ModelAdded}
            return of[verb](self._index(words[0]))
        instance, model = int(words[0]), self._index(words[1])
        actual = int(words[2]) if len(words) > 2 else self.models[model].gpu_bytes
        return {"downloaded": ev.DownloadFinished(instance, model), "idle": ev.CopyIdle(instance, model),
                "download-failed": ev.DownloadFailed(instance, model, "S3"),
                "loaded": ev.LoadFinished(instance, model, actual, 1), "unloaded": ev.UnloadFinished(instance, model),
                "oom": ev.LoadFailed(instance, model, True, "out of memory"),
                "load-failed": ev.LoadFailed(instance, model, False, "bad file")}[verb]

    def _shown(self, action: object) -> str:
        fields = {field.name: getattr(action, field.name)
                  for field in dataclasses.fields(action)}  # type: ignore[arg-type]
        words = [self.models[value].name if name == "model" else
                 value.name if hasattr(value, "name") else f"({value})" if name == "reason" else str(value)
                 for name, value in fields.items()]
        return " ".join([type(action).__name__, *words])

    def _states(self) -> list[str]:
        assert self.controller is not None
        rows = []
        for i in sorted(self.controller.endpoint.fleet):
            states = (f"{model.name}={self.table.state(i, m).name}" for m, model in enumerate(self.models)
                      if self.table.state(i, m) is not Residency.ABSENT)
            rows.append(f"{i}: {' '.join(states)}".rstrip())
        return rows


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    written = path.read_text()
    played = Story().play(written)
    if os.environ.get("MMESIM_REWRITE"):
        path.write_text(played)
    assert played == written
