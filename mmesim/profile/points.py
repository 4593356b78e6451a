"""Operating points: what a load generator measured of one model at one load.

All readers (:mod:`mmesim.profile.readers`) give these, all fits take them. Units inside are seconds, bytes and
fractions, whatever the file had. What was not measured is None; nothing is filled in.
"""

from __future__ import annotations

from dataclasses import dataclass

SOUND = (0.85, 1.15)
"""Little's law ratio of a sound closed-loop row; outside, the measurement was cut short or mixed up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """One row: one model (or several profiled together) on one configuration at one load."""

    model: str
    backend: str = ""
    precision: str = ""
    gpu: str = ""
    """The GPU's name as in the catalog where it is known, ``cpu`` without one, else as the file has it."""
    input: str = ""
    """What one item of a request is: ``seqlen=128``."""
    variant: str = ""
    """The tool's name for the model configuration: ``resnet50_config_3``."""
    instance_count: int | None = None
    max_batch_size: int | None = None
    """0: batching off."""
    dynamic_batching: bool | None = None
    preferred_batch_sizes: tuple[int, ...] = ()
    scenario: str = ""
    """``offline``: static batch, client on the same host; ``online``: through HTTP or gRPC; else the file's word."""
    batch_size: int = 1
    """Items (inferences) in one request."""
    concurrency: int | None = None
    """Requests the client keeps in flight; None in an open loop."""
    request_rate_rps: float | None = None
    """Requests a second that the client sends in an open loop."""
    throughput_per_s: float | None = None
    """Inferences, not requests, a second."""
    latency_s: float | None = None
    """Mean latency at the client."""
    p50_s: float | None = None
    p90_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    queue_s: float | None = None
    compute_input_s: float | None = None
    compute_infer_s: float | None = None
    compute_output_s: float | None = None
    send_recv_s: float | None = None
    network_s: float | None = None
    """Of the mean latency, all that is neither the client's nor in the server's queue and compute."""
    gpu_utilization: float | None = None
    """0 to 1."""
    gpu_bytes: int | None = None
    """Used memory of the whole GPU, Triton's own part included."""
    idle_gpu_bytes: int | None = None
    """The same with no model loaded (the server-only row), where the tool wrote it."""
    ram_bytes: int | None = None
    co_located: tuple[str, ...] = ()
    """The other models that were under load at the same time."""
    grade: str = ""
    source: str = ""
    """Where the row was published, or the file that was read."""
    at: str = ""
    """The row in it: a line, a key."""
    note: str = ""

    @property
    def compute_s(self) -> float | None:
        """Compute input + infer + output: TorchScript's output waits for its infer, so that they belong together."""
        if self.compute_infer_s is None:
            return None
        return (self.compute_input_s or 0.0) + self.compute_infer_s + (self.compute_output_s or 0.0)

    @property
    def littles_law(self) -> float | None:
        """Throughput × mean latency / (batch × concurrency): about 1 in a sound closed loop."""
        if not self.concurrency or self.throughput_per_s is None or self.latency_s is None:
            return None
        return self.throughput_per_s * self.latency_s / (self.batch_size * self.concurrency)

    @property
    def is_sound(self) -> bool:
        """False when Little's law says that the measurement was cut short."""
        ratio = self.littles_law
        return ratio is None or SOUND[0] <= ratio <= SOUND[1]

    @property
    def group(self) -> tuple[str, str, str, str]:
        """(model, backend, precision, GPU): what one profile is about."""
        return self.model, self.backend, self.precision, self.gpu
