"""The same endpoint as a SimPy textbook would build it: a process per request, a Resource per copy, float seconds.

It shares nothing with the data planes but the inputs, knows no batching, and is exact only where no two things happen
at one instant. It is also the baseline for speed: what one gets without a data plane.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

import simpy

Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class TextbookModel:
    """How a model is served; times in seconds, shares as fractions."""

    share: float = 1.0
    cpu_s: float = 0.0
    overhead_s: float = 0.0
    instance_count: int = 1


@dataclass
class Job:
    """Work left on a shared server."""

    left_s: float
    share: float
    done: simpy.Event


class SharedServer:
    """Processor sharing: jobs slow down together when they want more than the capacity."""

    def __init__(self, env: simpy.Environment, capacity: float) -> None:
        self.env = env
        self.capacity = capacity
        self.jobs: list[Job] = []
        self.last_s = 0.0
        self.version = 0

    def serve(self, work_s: float, share: float) -> simpy.Event:
        """An event that happens when this work is done."""
        self._progress()
        job = Job(work_s, share, self.env.event())
        self.jobs.append(job)
        self._plan()
        return job.done

    def _speed(self) -> float:
        return min(1.0, self.capacity / sum(job.share for job in self.jobs))

    def _progress(self) -> None:
        if self.jobs:
            done_s = (self.env.now - self.last_s) * self._speed()
            for job in self.jobs:
                job.left_s -= done_s
        self.last_s = self.env.now

    def _plan(self) -> None:
        self.version += 1
        if self.jobs:
            first = min(self.jobs, key=lambda job: job.left_s)
            wait = self.env.timeout(max(0.0, first.left_s) / self._speed())
            wait.callbacks.append(lambda _, version=self.version: self._finish(first, version))

    def _finish(self, job: Job, version: int) -> None:
        if version == self.version:
            self._progress()
            self.jobs.remove(job)
            job.done.succeed()
            self._plan()


class TextbookEndpoint:
    """Copies on instances: least outstanding requests, ties to the lowest; one load for all who wait."""

    def __init__(self, env: simpy.Environment, models: list[TextbookModel], n_instances: int, cpus: float,
                 load_s: float, ready: list[list[int]]) -> None:
        self.env = env
        self.models = models
        self.load_s = load_s
        self.devices = [SharedServer(env, 1.0) for _ in range(n_instances)]
        self.cpus = [SharedServer(env, cpus) for _ in range(n_instances)]
        self.copies = [[simpy.Resource(env, model.instance_count) for model in models] for _ in range(n_instances)]
        self.outstanding = [[0] * len(models) for _ in range(n_instances)]
        self.ready = [list(instances) for instances in ready]
        self.loading: dict[int, tuple[int, simpy.Event]] = {}
        self.misses = 0
        self.latency_s: dict[int, float] = {}

    def workload(self, requests: Iterable[tuple[float, int, float]]) -> Process:
        """Start a process for each (time, model, time on the device)."""
        for number, (at_s, model, service_s) in enumerate(requests):
            yield self.env.timeout(max(0.0, at_s - self.env.now))
            self.env.process(self.request(number, model, service_s))

    def request(self, number: int, model: int, service_s: float) -> Process:
        """One request from the router to the answer."""
        spec, came_s = self.models[model], self.env.now
        if self.ready[model]:
            instance = min(self.ready[model], key=lambda i: (self.outstanding[i][model], i))
        else:
            instance, loaded = self._load(model)
        self.outstanding[instance][model] += 1
        if instance not in self.ready[model]:
            yield loaded
        if spec.cpu_s:
            yield self.cpus[instance].serve(spec.cpu_s, 1.0)
        with self.copies[instance][model].request() as turn:
            yield turn
            yield self.devices[instance].serve(service_s, spec.share)
        self.outstanding[instance][model] -= 1
        self.latency_s[number] = self.env.now - came_s + spec.overhead_s

    def _load(self, model: int) -> tuple[int, simpy.Event]:
        if model not in self.loading:
            self.misses += 1
            instance = (model + self.misses) % len(self.devices)
            loaded = self.env.timeout(self.load_s)
            loaded.callbacks.append(lambda _: self._loaded(model, instance))
            self.loading[model] = instance, loaded
        return self.loading[model]

    def _loaded(self, model: int, instance: int) -> None:
        self.ready[model].append(instance)
        del self.loading[model]


def run_textbook(models: list[TextbookModel], n_instances: int, cpus: float, load_s: float, ready: list[list[int]],
                 requests: list[tuple[float, int, float]]) -> list[float]:
    """Latencies in seconds, in order of arrival; `ready`: instances with a copy of each model at the start."""
    env = simpy.Environment()
    endpoint = TextbookEndpoint(env, models, n_instances, cpus, load_s, ready)
    env.process(endpoint.workload(requests))
    env.run()
    return [endpoint.latency_s[number] for number in range(len(requests))]
