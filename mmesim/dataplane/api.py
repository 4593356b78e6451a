"""The contract of a data plane: what goes in, what comes out, and the exact rules in between.

Two implementations obey it: the compiled kernel (:mod:`mmesim.dataplane.plane`) and an independent reference in plain
Python objects (``tests/reference``). Driven by the same control plane they must agree bit for bit, so the rules leave
no freedom. All arithmetic is integer: time in ns, shares, speeds and relative work in Q16 (65536 = 1.0).

**Order.** Events happen in the order (time, class, entity); the classes are, in this order:

0. control (SimPy): everything the control plane does at time t is done before the data plane does anything at t;
1. *station completion*, entity = station number (2·instance = device, 2·instance + 1 = host CPUs); among jobs that end
   at one station at one instant: by (tag, start order);
2. *front end*: an invocation has been received and decoded, entity = its serial number;
3. *batch timer*, entity = row number of the copy;
4. *deadline* of an invocation, entity = order in which invocations were issued;
5. *client*: a closed-loop user wakes (entity = user number) or a retry is due (entity = n_users + the invocation's
   serial number);
6. *arrival* of the open workload, in the order given.

**Invocation.** Issued at t by an arrival, a user or a retry. `serial` numbers issued invocations 0, 1, 2, … in event
order (a retry is a new invocation with its own serial). In order: count it; admission; routing.

1. *Admission* (skipped for `always`): ``admit(model outstanding, endpoint outstanding, n_ready, serving instances,
   t)``; refused: THROTTLED. Endpoint outstanding counts every invocation issued, admitted and not finished; the one
   in question is in neither number.
2. *Routing, model-aware*: among ``ready[model][:n_ready]`` the copy with the lowest ``score(choice, t)``, of the
   :class:`mmesim.core.choice.Choice` as things stand before the invocation is counted anywhere; ties: lowest instance.
   A router is not asked about a model's only copy. If ``spill_outstanding > 0`` and the chosen copy's outstanding >=
   it, and n_copies < serving instances, joining == -1 and t >= wish_after_ns: stop with WISH(model) first, once per
   invocation; afterwards route again without wishing. No READY copy: if joining >= 0, the invocation is *held* at that
   copy (ON ITS WAY); else if t < failed_until_ns: LOAD_FAILED; else if nothing serves: INSTANCE_LOST; else stop with
   MISS(model, -1); the controller acts (or rejects), then routing starts again for the same invocation.
3. *Routing, blind*: the lowest score over all serving instances (the copy row's own numbers, whatever its state); then,
   at the chosen instance: READY: served; cold start under way there (`cold` of the row is 1): held; t <
   failed_until_ns: LOAD_FAILED; else stop with MISS(model, instance), then look again at the same instance. Nothing
   serves: INSTANCE_LOST.
   A choice's `draw` = ``draw(route_seed, serial, instance)`` of :func:`draw`, `request_draw` = ``draw(route_seed,
   serial, -1)``, `offered` is the number of copies (blind: instances) offered, `position` counts them from 0;
   `ready_in_ns` is 0 at a READY copy, ``max(0, expected_ready_ns - t)`` with a cold start under way, else the
   instance's load_backlog_ns + the model's reload_s3_ns if it is ABSENT or DOWNLOADING, reload_disk_ns if not.
4. When an invocation is sent to a copy (served or held): copy, model, instance and endpoint outstanding += 1; the
   instance's backlog_ns += service_ns of the model; last_use_ns = t and uses += 1, of the copy and of the model; the
   rate is decayed to t (:func:`mmesim.core.residency.decayed`), then += 65536. A copy's `uses` is set to 0 by the
   control plane when its cold start begins. The *tier* is GPU if the copy was READY, else the copy's `tier`.
5. READY and ``stalled`` > 0 on the instance: held too (tier stays GPU).

**Held** invocations wait in FIFO order at their copy until `release(instance, model)` sends them, in order, to the
front end at that time, or `fail_held` fails them. Their deadline goes on running.

**Front end** (per instance, for all its models). It has `frontend_threads` threads, each of which receives and decodes
one invocation at a time: demand ``frontend_ns + frontend_per_item_ns·items``; 0 skips the stage and waits for nobody. A
FIFO in order of sending (served at 4., or released): the first thread to be free takes the first in line, the lowest
number among threads free at one instant. Decoding takes the demand exactly: the stations neither share with it nor slow
it down, and `set_speed` does not touch it. At its end (event class 2) the invocation enters the host stage. An
abandoned invocation keeps its place; one whose instance is lost leaves with all the others, and the threads are free.

**Host stage.** Demand ``cpu_ns + cpu_per_item_ns·items``; 0 skips the stage. A job of weight 65536 on the instance's
CPU station. On completion the invocation enters the copy's batch queue.

**Batch queue** (per copy, FIFO). Entering it: if max_queue > 0 and the queue holds max_queue invocations: QUEUE_FULL.
Whether it entered or was refused, *try to form a batch*. Trying happens at an enqueue, at a batch completion of the
copy and at its timer; it repeats until no batch can be formed:

- needs a READY copy (an UNLOADING copy has no requests), running + formed < instance_count + prefetched_batches, a
  non-empty queue; *formed* counts the batches that wait for an execution instance;
- first drop from the head, as QUEUE_FULL, invocations with queue_timeout > 0 and t - enqueued > queue_timeout;
- walk from the head while the sum of items <= max_batch (the head is always taken, even alone above max_batch, and then
  counts as full). *Full*: the sum reached max_batch, or the next invocation does not fit. *Preferred*: the largest
  prefix whose sum equals a preferred size;
- a preferred prefix exists: form a batch of it; else full: of the walked prefix; else if t - enqueued(head) >=
  max_queue_delay: of the walked prefix; else arm the copy's timer for enqueued(head) + max_queue_delay and stop;
- a batch is *launched* as soon as it is formed if running < instance_count; else it waits, behind those formed before.

A batch completion launches the oldest formed batch before it tries; so batches only wait while all execution instances
run. What a formed batch holds is out of the queue: it counts towards max_queue no more, queue_timeout does not end it,
and no later invocation joins it. A copy has one timer; arming replaces it; it is disarmed when forming leaves the queue
empty. A timer that fires tries. Items above the service table's end are served at the last entry plus the last step
for each further item (a table of one entry: that entry is the step). Batches are counted, and first_inference_ns is
given out, when they are launched.

**Batch demand.** B = sum of items, W = sum over the invocations of items·work_q16;
``demand_ns = (service_ns[B] * W // B) >> 16``, at least 1, plus first_inference_ns for the first batch after a load. A
job on the device station (``on_cpu``: on the CPU station) of weight share_q16, or ``share_q16[min(B, len - 1)]`` of a
table; it keeps that weight to its end.

**Station**: weighted processor sharing in virtual time. Jobs j of weight w_j run at one common speed
``speed = (65536 * capacity // max(capacity, sum w)) * factor >> 16 * inter[n] >> 16`` evaluated left to right, at least
1, where n is the number of jobs, capacity is in Q16 (device 65536, CPU vcpus·65536), `factor` is set by `set_speed`
(default 65536), and ``inter[n] = 65536 * 65536 // (65536 + k_q16 * (n - 1))`` on the device, 65536 on the CPU.
Speeds are cut to Q16: n full-share jobs on one unit of capacity run up to n/65536 too slowly (0.1 % at n = 64). Virtual
time V (Q16 ns) starts at 0 with each busy period; over dt at constant speed V += dt·speed. A job of demand d started at
V has tag V + (d << 16); the station's next completion is at t + ceil((tag_min - V) / speed), never before t, and at a
completion event every job with tag <= V leaves, in order (tag, start order). When a batch has completed: its
invocations complete, in queue order, then the copy's oldest formed batch is launched, then it tries. Everything that
starts at t starts after V is brought to t.

**Completion** of an invocation whose service ends at t: the caller sees it at t + overhead_ns(model), latency = that -
issue time. All outstanding counters -= 1 at t, and backlog_ns falls by what it rose. If then copy.watch == 1 and
copy.outstanding == 0: stop with IDLE; if the instance is draining and its outstanding is 0: stop with INSTANCE_IDLE
(IDLE first). Stops happen after the whole station event (all its completions and launches) has been processed, in that
order of happening.

**Deadline** at issue + timeout_ns: a *held* invocation ends now, MODEL_NOT_READY; one further on is *abandoned*: it
ends now, for the caller, as TIMEOUT; the server goes on (it keeps its place and its outstanding counts until served,
then disappears silently). A service end at the very deadline counts as in time; the caller's overhead is not part of
it.

**Failure** at t is seen by the caller at t (a fail of any kind has no overhead). Failures of sent invocations decrement
the outstanding counters as completions do, IDLE and INSTANCE_IDLE included (not for abandoned ones, until they are
served or dropped: silently, but with the stops). What the control plane's own calls (`release`, `fail_held`) bring
about stops the plane too, first thing at the next `advance`, before a pending invocation is routed; `fail_instance`
does not.

**Clients.** After an answer or a final failure a user thinks: wakes at (seen time) + think of this draw; at wake, if
t >= stop_ns[user] the user ends, else it issues an invocation with its next draw. A user first wakes at start_ns.
*Retries*: attempt k (1-based) of attempts failed with an http status in the retry set and k < attempts: due again at
t + pause, ``pause = backoff_ns(k) - ((backoff_ns(k) * jitter_q16 >> 16) * (draw(retry_seed, serial, k) >> 46) >> 16)``.
The new invocation keeps model, items, work and the time of the first attempt; its deadline and latency run anew.

**Host work** (extraction): `start_work` puts a job of weight 65536 and given demand on the CPU station; its end stops
the plane with WORK_DONE(instance, token), like the other stops after the whole station event.

**Counters** are exact integers, see :mod:`mmesim.dataplane.counters`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmesim.core.residency import ResidencyTable
from mmesim.core.types import NONE, Failure
from mmesim.dataplane.counters import Counters

ONE_Q16 = 1 << 16


def draw(seed: int, serial: int, which: int) -> int:
    """A random number in [0, 2^62): the finaliser of splitmix64 over three integers, modulo 2^64.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    mask = (1 << 64) - 1
    z = (seed + (serial + 1) * 0x9E3779B97F4A7C15 + (which + 1) * 0xD1B54A32D192ED03) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return (z ^ (z >> 31)) >> 2


@dataclass(frozen=True)
class ServiceSpec:
    """How one model is served: times in ns, shares in Q16."""

    service_ns: NDArray[np.int64]
    """Device demand of a batch of b items at index b, 1..len-1; index 0 is unused."""
    share_q16: int | NDArray[np.int64] = ONE_Q16
    """Share of the device a running batch wants (on_cpu: vCPUs in Q16). A table has that of b items at index b, like
    `service_ns`; larger batches want what the last entry says."""
    on_cpu: bool = False
    cpu_ns: int = 0
    cpu_per_item_ns: int = 0
    overhead_ns: int = 0
    max_batch: int = 1
    instance_count: int = 1
    preferred: tuple[int, ...] = ()
    max_queue_delay_ns: int = 0
    max_queue: int = 0
    queue_timeout_ns: int = 0
    first_inference_ns: int = 0
    frontend_ns: int = 0
    """Time of a front-end thread for a request, besides its items."""
    frontend_per_item_ns: int = 0
    prefetched_batches: int = 0
    """Batches formed ahead while no execution instance is free, at most (Triton: twice instance_count)."""


@dataclass(frozen=True)
class RetrySpec:
    """Client retries: pause before attempt k+1 is ``backoff_ns * factor_q16^(k-1)`` (see `backoff`), less jitter."""

    attempts: int = 1
    backoff_ns: int = 500_000_000
    factor_q16: int = 2 * ONE_Q16
    jitter_q16: int = ONE_Q16
    on_status: tuple[int, ...] = (429, 503)

    def backoff(self, attempt: int) -> int:
        """Full pause after failed attempt `attempt` (1-based), at most an hour."""
        pause = self.backoff_ns
        for _ in range(attempt - 1):
            pause = min(pause * self.factor_q16 >> 16, 3_600_000_000_000)
        return pause


@dataclass(frozen=True)
class PlaneSpec:
    """Everything a data plane is built from."""

    services: tuple[ServiceSpec, ...]
    """One a model; models that share a profile share the `service_ns` array object."""
    cpu_capacity_q16: int
    """vCPUs of an instance, Q16."""
    interference_q16: int = 0
    frontend_threads: int = 1
    """Threads of each instance's front end, 1 to 64."""
    timeout_ns: int = 60_000_000_000
    retry: RetrySpec = field(default_factory=RetrySpec)
    route_seed: int = 0
    retry_seed: int = 0
    record_requests: bool = False


class Stop(IntEnum):
    """Why `advance` came back."""

    HORIZON = 0
    """Everything before the horizon is done; the plane stands at the horizon."""
    MISS = 1
    WISH = 2
    IDLE = 3
    INSTANCE_IDLE = 4
    WORK_DONE = 5


@dataclass(frozen=True, slots=True)
class Stopped:
    """A stop of the data plane at `time_ns` (<= horizon)."""

    stop: Stop
    time_ns: int
    instance: int = NONE
    model: int = NONE
    token: int = NONE


class DataPlane(Protocol):
    """What the engine drives. `table` is shared with the controller; both read its arrays anew at each call."""

    table: ResidencyTable
    now_ns: int
    interpreted_policy: bool
    """True: a routing or admission policy could not be compiled and is asked in Python at each choice."""

    def advance(self, horizon_ns: int) -> Stopped:
        """Run events strictly before `horizon_ns`. After MISS or WISH the invocation is pending and routed again at
        the next call; stops that happened together are given one by one."""

    def reject_pending(self, failure: Failure) -> None:
        """The pending invocation of the last MISS ends with this failure."""

    def release(self, instance: int, model: int) -> None:
        """Send the held invocations of a READY, not stalled copy to the front end, in order."""

    def fail_held(self, instance: int, model: int, failure: Failure) -> None:
        """All invocations held at a copy fail."""

    def fail_instance(self, instance: int, failure: Failure) -> None:
        """Everything sent to an instance fails (order: serial), its stations and front end are cleared, its timers
        disarmed, its host work dropped without WORK_DONE, its speeds reset; all its outstanding counts become 0."""

    def set_speed(self, instance: int, device_q16: int, cpu_q16: int) -> None:
        """Factors of the two stations' speed (Q16, 1..65536)."""

    def start_work(self, instance: int, demand_ns: int) -> int:
        """Put host work of so much vCPU time on the instance; returns its token (0, 1, 2, …)."""

    def grow_instances(self) -> None:
        """The table has more instance slots than before."""

    def take(self) -> Counters:
        """Counters since the last take, integrals brought to `now_ns`. At most 10 simulated minutes apart (int64)."""

    def take_records(self) -> NDArray[np.void]:
        """REQUEST_RECORD rows since the last call, in order of ending; empty unless `record_requests`."""

    def model_counters(self) -> NDArray[np.void]:
        """(models,) of MODEL_COUNTERS since the start (or since `reset_totals`)."""

    def model_sketches(self) -> NDArray[np.uint32]:
        """(models, SKETCH_BUCKETS) completions by latency since the start (or since `reset_totals`)."""

    def reset_totals(self) -> None:
        """Forget model counters and sketches: the warm-up is over."""

    def in_flight(self) -> int:
        """Invocations issued and not ended for the caller (their service end or failure is still to come)."""

    def in_flight_age_ns(self) -> int:
        """Sum over the invocations in flight of the time since their issue."""

    def check(self) -> None:
        """Recompute what can be recomputed (conservation, outstanding counts); an assertion fails on our bug."""

    def idle(self) -> bool:
        """True when nothing is left to happen: no arrival, client, request or work."""
