"""Random small scenarios: everything that two planes must agree on, as plain numbers that shrink.

Times are whole ticks. A tick of 1 ms makes many things happen at one instant; `scatter` moves each arrival off the
grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from mmesim.core.policy import AdmissionPolicy, RoutingPolicy
from mmesim.core.residency import ResidencyTable
from mmesim.core.types import NONE, ModelSpec
from mmesim.dataplane.api import ONE_Q16, PlaneSpec, RetrySpec, ServiceSpec
from mmesim.policies.admission.always import Always
from mmesim.policies.admission.queue_limit import QueueLimit
from mmesim.workload.types import NEVER_NS, Arrivals
from reference.policies import ROUTING, InterpretedLimit
from reference.sources import ListSource, SeededUsers, open_arrivals
from reference.standin import Intervention

TICK_NS = 1_000_000


@dataclass(frozen=True)
class Service:
    """A :class:`ServiceSpec` in ticks."""

    table: tuple[int, ...] = (3,)
    share_q16: int = ONE_Q16
    idle: int = 0
    """Ticks of each batch in which it does not want the device: its share grows with its size."""
    on_cpu: bool = False
    cpu: int = 0
    cpu_per_item: int = 0
    overhead: int = 0
    max_batch: int = 1
    instance_count: int = 1
    preferred: tuple[int, ...] = ()
    delay: int = 0
    max_queue: int = 0
    queue_timeout: int = 0
    first_inference: int = 0
    prefetched: int = 0
    frontend: int = 0
    frontend_per_item: int = 0

    def spec(self, tick_ns: int) -> ServiceSpec:
        """In ns."""
        table = np.array([0, *np.cumsum(self.table)], np.int64) * tick_ns
        busy_ns = np.maximum(table - self.idle * tick_ns, 0)
        share_q16 = self.share_q16 * busy_ns // np.maximum(table, 1) if self.idle else self.share_q16
        return ServiceSpec(table, share_q16, self.on_cpu, self.cpu * tick_ns, self.cpu_per_item * tick_ns,
                           self.overhead * tick_ns, self.max_batch, self.instance_count, self.preferred,
                           self.delay * tick_ns, self.max_queue, self.queue_timeout * tick_ns,
                           self.first_inference * tick_ns, self.frontend * tick_ns,
                           self.frontend_per_item * tick_ns, self.prefetched)


@dataclass(frozen=True)
class Case:
    """One scenario: endpoint, workload and script."""

    services: tuple[Service, ...] = (Service(),)
    model_service: tuple[int, ...] = (0,)
    """Service of each model."""
    n_instances: int = 1
    cpus_q16: int = 2 * ONE_Q16
    interference_q16: int = 0
    frontend_threads: int = 1
    timeout: int = 60
    retry: RetrySpec = field(default_factory=RetrySpec)
    routing: int = 0
    blind: bool = False
    spill: int = 0
    admit_endpoint: int = 0
    admit_copy: int = 0
    tick_ns: int = TICK_NS

    seed: int = 0
    n_requests: int = 10
    mean_gap: int = 2
    max_items: int = 1
    random_work: bool = False
    scatter: bool = False
    chunk: int = 1000
    n_users: int = 0
    think: int = 3
    users_stop: int = 0
    """Ticks after which users stop; 0: at 60."""

    warm: bool = False
    """The first `slots` models are READY on each instance at the start."""
    slots: int = 2
    download: int = 4
    extract: int = 0
    load: int = 5
    load_spread: int = 1
    unload: int = 1
    unload_stalls: bool = False
    keep_on_disk: bool = True
    fail_every: int = 0
    out_of_memory_every: int = 0
    reject_every: int = 0
    failed_for: int = 10
    wish_pause: int = 5
    script: tuple[Intervention, ...] = ()
    end: int = 600
    """Ticks of the whole run."""

    @property
    def n_models(self) -> int:
        return len(self.model_service)

    def plane_spec(self) -> PlaneSpec:
        """What both planes are built from."""
        specs = [service.spec(self.tick_ns) for service in self.services]
        return PlaneSpec(tuple(specs[which] for which in self.model_service), self.cpus_q16, self.interference_q16,
                         self.frontend_threads, self.timeout * self.tick_ns, self.retry, route_seed=self.seed,
                         retry_seed=self.seed + 1, record_requests=True)

    def table(self) -> ResidencyTable:
        """A fresh table, everything serving."""
        table = ResidencyTable(self.n_models, self.n_instances)
        table.know([self._known(model) for model in range(self.n_models)], 1 + self.seed % 3)
        for instance in range(self.n_instances):
            table.set_serving(instance, True)
            for model in range(min(self.slots, self.n_models) if self.warm else 0):
                for cause in ("start download", "download finished", "start load", "load finished"):
                    table.advance(instance, model, cause)
        return table

    def _known(self, model: int) -> ModelSpec:
        tick_s, service = self.tick_ns / 1e9, self.services[self.model_service[model]]
        load = self.load + model % 2
        return ModelSpec(f"model-{model}", 0, 0, 0, 0, reload_disk_s=load * tick_s,
                         reload_s3_s=(self.download + self.extract + load) * tick_s,
                         service_s=(service.table[0] + service.cpu) * tick_s)

    def policies(self) -> tuple[RoutingPolicy, AdmissionPolicy]:
        """Routing and admission."""
        routing = ROUTING[self.routing](blind=self.blind, spill_outstanding=self.spill)
        if self.admit_endpoint > 25:
            return routing, InterpretedLimit(self.admit_endpoint)
        if self.admit_endpoint or self.admit_copy:
            return routing, QueueLimit(per_copy=self.admit_copy, per_endpoint=self.admit_endpoint)
        return routing, Always()

    def arrivals(self) -> ListSource | None:
        """The open workload, if any."""
        return ListSource(self._requests(), self.chunk) if self.n_requests else None

    def _requests(self) -> Arrivals:
        rng = np.random.default_rng(self.seed)
        draws = rng.random((self.n_requests, 5))      # row by row: fewer requests are the first of many
        gaps = np.floor(-np.log1p(-draws[:, 0]) * (self.mean_gap + 0.5)).astype(np.int64)
        t_ns = np.cumsum(gaps) * self.tick_ns
        if self.scatter:
            t_ns = np.sort(t_ns + (draws[:, 1] * self.tick_ns).astype(np.int64))
        model = np.floor(draws[:, 2] ** 2 * self.n_models).astype(np.int64)
        items = 1 + np.floor(draws[:, 3] * self.max_items).astype(np.int64)
        work = (1 + draws[:, 4] * (1 << 17)).astype(np.int64) if self.random_work else 1 << 16
        return open_arrivals(t_ns, model, items, work)

    def users(self) -> SeededUsers | None:
        """The closed loop, if any."""
        if not self.n_users:
            return None
        stop_ns = np.full(self.n_users, (self.users_stop or 60) * self.tick_ns, np.int64)
        stop_ns[-1] = NEVER_NS if self.users_stop < 0 else stop_ns[-1]
        start_ns = np.arange(self.n_users, dtype=np.int64) // 2 * self.tick_ns
        return SeededUsers(self.n_users, self.max_items, start_ns, stop_ns, self.seed, self.n_models, self.think,
                           self.tick_ns)

    def end_ns(self) -> int:
        """When the run stops."""
        return self.end * self.tick_ns


def _maybe(strategy: st.SearchStrategy, otherwise) -> st.SearchStrategy:
    return st.one_of(st.just(otherwise), strategy)


def _rarely(strategy: st.SearchStrategy, otherwise) -> st.SearchStrategy:
    return st.one_of(*[st.just(otherwise)] * 4, strategy)


SERVICE = {
    "table": st.lists(st.integers(0, 6), min_size=1, max_size=6).map(lambda steps: (steps[0] + 1, *steps[1:])),
    "share_q16": st.sampled_from([ONE_Q16, ONE_Q16 // 2, ONE_Q16 // 3, 7000]),
    "on_cpu": _rarely(st.just(True), False),
    "cpu": _maybe(st.integers(0, 4), 0), "cpu_per_item": _maybe(st.integers(0, 2), 0), "overhead": st.integers(0, 3),
    "max_batch": st.integers(1, 8), "instance_count": st.integers(1, 3),
    "preferred": _maybe(st.lists(st.integers(1, 6), max_size=2).map(tuple), ()),
    "delay": _maybe(st.integers(0, 30), 0), "max_queue": _rarely(st.integers(1, 5), 0),
    "queue_timeout": _rarely(st.integers(1, 20), 0), "first_inference": _maybe(st.integers(1, 6), 0),
    "prefetched": _maybe(st.integers(1, 5), 0), "idle": _maybe(st.integers(1, 4), 0),
    "frontend": _maybe(st.integers(1, 4), 0), "frontend_per_item": _maybe(st.integers(1, 2), 0),
}

RETRY = st.builds(
    RetrySpec, attempts=st.integers(1, 4), backoff_ns=st.integers(1, 10).map(lambda ticks: ticks * TICK_NS),
    factor_q16=st.sampled_from([ONE_Q16, 2 * ONE_Q16]), jitter_q16=st.sampled_from([0, ONE_Q16, 30_000]),
    on_status=st.sampled_from([(429, 503), (424, 429, 503), (424,)]))


def _script(*whats: str, at_least: int = 0, at_most: int = 8) -> st.SearchStrategy:
    steps = st.builds(Intervention, tick=st.integers(0, 150), what=st.sampled_from(whats),
                      instance=st.integers(0, 3), much=st.integers(1, 25))
    return st.lists(steps, min_size=at_least, max_size=at_most).map(tuple)


SCRIPTS = ("take", "stall", "slow", "work", "watch", "fail_held", "exists", "crash", "drain", "grow", "reset")

CASE = {
    "n_instances": st.integers(1, 4), "cpus_q16": st.sampled_from([ONE_Q16, 2 * ONE_Q16, 5 * ONE_Q16]),
    "interference_q16": _maybe(st.sampled_from([3000, 20_000]), 0),
    "frontend_threads": st.sampled_from([1, 1, 2, 3, 64]),
    "timeout": st.sampled_from([200, 80, 30, 12, 4]), "retry": RETRY,
    "routing": st.integers(0, len(ROUTING) - 1), "blind": _rarely(st.just(True), False),
    "spill": _maybe(st.integers(1, 4), 0), "admit_endpoint": _rarely(st.integers(3, 30), 0),
    "admit_copy": _rarely(st.integers(2, 9), 0),
    "seed": st.integers(0, 1 << 20), "n_requests": _maybe(st.integers(0, 200), 100), "mean_gap": st.integers(0, 4),
    "max_items": st.integers(1, 4), "random_work": st.booleans(), "scatter": _maybe(st.booleans(), False),
    "chunk": st.sampled_from([1000, 7]), "n_users": _rarely(st.integers(1, 6), 0), "think": st.integers(1, 12),
    "users_stop": st.sampled_from([0, 30, 100, NONE]), "warm": st.booleans(), "slots": st.integers(1, 4),
    "download": st.integers(0, 8), "extract": _maybe(st.integers(1, 6), 0), "load": st.integers(0, 12),
    "load_spread": st.integers(1, 3), "unload": st.integers(0, 5), "unload_stalls": _maybe(st.booleans(), False),
    "keep_on_disk": st.booleans(), "fail_every": _maybe(st.integers(2, 7), 0),
    "out_of_memory_every": _maybe(st.integers(2, 7), 0), "reject_every": _rarely(st.integers(2, 6), 0),
    "failed_for": st.integers(0, 30), "wish_pause": st.integers(0, 20),
    "script": _maybe(_script(*SCRIPTS), ()),
}


@st.composite
def _cases(draw, service: dict[str, st.SearchStrategy], case: dict[str, st.SearchStrategy], most_models: int) -> Case:
    n_models = draw(st.integers(1, most_models))
    kinds = tuple(draw(st.lists(st.builds(Service, **(SERVICE | service)), min_size=1, max_size=3)))
    picks = tuple(draw(st.lists(st.integers(0, len(kinds) - 1), min_size=n_models, max_size=n_models)))
    return draw(st.builds(Case, services=st.just(kinds), model_service=st.just(picks), **(CASE | case)))


_YES, _NO, _ZERO = st.just(True), st.just(False), st.just(0)

FLAVOURS: dict[str, st.SearchStrategy] = {
    "anything": _cases({}, {}, 8),
    "batching": _cases(
        {"max_batch": st.integers(3, 8), "delay": st.integers(1, 30), "on_cpu": _NO, "share_q16": st.just(ONE_Q16 // 2),
         "preferred": st.sampled_from([(), (2,), (4, 2), (2, 5, 6), (3, 6), (1, 4)]),
         "queue_timeout": _maybe(st.integers(1, 25), 0)},
        {"warm": _YES, "slots": st.just(4), "mean_gap": st.integers(0, 2), "timeout": st.just(200)}, 4),
    "memory": _cases(
        {"delay": st.integers(0, 30), "first_inference": st.integers(1, 4)},
        {"warm": _NO, "slots": st.integers(1, 2), "load": st.integers(0, 4), "blind": _NO, "n_instances":
         st.integers(1, 2), "mean_gap": st.integers(2, 8), "keep_on_disk": _YES, "timeout": st.sampled_from([60, 200])},
        6),
    "blind": _cases(
        {}, {"blind": _YES, "n_instances": st.integers(2, 4), "slots": st.integers(1, 3),
             "download": st.integers(0, 3), "load": st.integers(0, 4), "timeout": st.sampled_from([30, 200])}, 5),
    "spill": _cases(
        {}, {"blind": _NO, "n_instances": st.integers(2, 4), "spill": st.integers(1, 4),
             "wish_pause": st.integers(0, 3), "load": st.integers(1, 12), "mean_gap": st.integers(0, 1),
             "routing": _ZERO}, 3),
    "instances": _cases(
        {"instance_count": st.integers(1, 2), "cpu": st.integers(0, 4)},
        {"n_instances": st.integers(1, 3), "warm": _YES, "timeout": st.sampled_from([30, 200]),
         "extract": st.integers(1, 6),
         "script": _script("crash", "drain", "grow", "stall", "work", "slow", "watch", at_least=2, at_most=12)}, 5),
    "clients": _cases(
        {"overhead": st.integers(1, 3), "queue_timeout": _maybe(st.integers(1, 8), 0)},
        {"n_users": st.integers(1, 8), "n_requests": _maybe(st.integers(1, 30), 0), "timeout": st.integers(3, 20),
         "admit_endpoint": _maybe(st.integers(2, 6), 0)}, 4),
    "server": _cases(
        {"frontend": st.integers(1, 3), "cpu": _maybe(st.integers(1, 3), 0), "prefetched": st.integers(0, 4),
         "on_cpu": _NO, "delay": st.integers(0, 6), "max_batch": st.integers(1, 4),
         "instance_count": st.integers(1, 2)},
        {"n_users": st.integers(0, 8), "timeout": st.sampled_from([12, 60, 200]), "frontend_threads": st.integers(1, 3),
         "mean_gap": st.integers(1, 3), "max_items": st.integers(1, 3), "slots": st.integers(2, 4), "warm": _YES,
         "download": st.integers(0, 3), "load": st.integers(0, 4),
         "script": _script("crash", "crash", "drain", "stall", "slow", "watch", at_least=1, at_most=5)}, 3),
}
"""Scenarios by what they have much of: one law for all would seldom bring rare things together."""
