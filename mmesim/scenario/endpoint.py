"""Settings of the endpoint: instances, policies, the server on an instance, storage, provisioning, metrics.

Defaults follow what AWS and Triton document; where they document nothing, the default is an assumption that
can be set (docs/validation.md lists them). Durations are float seconds, sizes int bytes, rates bytes per second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from mmesim.policies import registry
from mmesim.scenario.laws import DurationLaw, lognormal
from mmesim.settings import Bytes, Count, Duration, Fraction, Number, Rate, Real, Settings, Whole, wrong

AtLeastOne = Annotated[Whole, Field(ge=1, le=1_000_000_000)]
Few = Annotated[Whole, Field(ge=1, le=10_000)]
PositiveNumber = Annotated[Real, Field(gt=0, le=1e12)]
PositiveDuration = Annotated[Duration, Field(gt=0)]
PositiveFraction = Annotated[Fraction, Field(gt=0)]
PositiveRate = Annotated[Rate, Field(gt=0)]


class PolicyRef(Settings):
    """A policy by name, parameters beside it: ``{use: lru}``, ``lru``, ``{use: "file:Class", limit: 3}``.

    The parameters are checked against the policy's own fields when references are resolved.
    """

    use: str
    """Short name of a built-in policy, or "module:Class" of your own beside the scenario."""
    params: Mapping[str, Any] = Field(default_factory=dict)
    """The policy's parameters, as written."""

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"use": value}
        if not isinstance(value, Mapping):
            raise wrong("a policy must have a name", "write {use: name} and its parameters beside it")
        params = {name: param for name, param in value.items() if name != "use"}
        return {"params": params, **({"use": value["use"]} if "use" in value else {})}

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"use": self.use, **self.params}


@dataclass(frozen=True)
class _Kind:
    """What a policy decides; gives editors the names of the built-in policies and their parameters."""

    kind: str

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        use = {"type": "string", "description": "Name of a built-in policy, or module:Class of your own",
               "examples": list(registry.known(self.kind))}
        settings: dict[str, JsonSchemaValue] = {}
        for policy in registry.describe(self.kind):
            for parameter in policy.parameters:
                about = f"{policy.name}: {parameter.doc} ({parameter.type}; {parameter.default_text})"
                before = settings.get(parameter.name, {}).get("description", "")
                settings[parameter.name] = {"description": f"{before}\n{about}".strip()}
        return {"anyOf": [use, {"type": "object", "properties": {"use": use, **settings}, "required": ["use"]}]}


Routing = Annotated[PolicyRef, _Kind("routing")]
Placement = Annotated[PolicyRef, _Kind("placement")]
EvictionRef = Annotated[PolicyRef, _Kind("eviction")]
Prewarm = Annotated[PolicyRef, _Kind("prewarm")]
Admission = Annotated[PolicyRef, _Kind("admission")]
Autoscaling = Annotated[PolicyRef, _Kind("autoscaling")]


def policy(use: str) -> PolicyRef:
    """The policy of this name with its default parameters."""
    return PolicyRef(use=use)


class Instances(Settings):
    """How many instances: at the start, and the bounds of autoscaling. A plain number sets all three."""

    initial: Few = 1
    """Instances at the start."""
    min: Few = 1
    """Autoscaling keeps at least so many."""
    max: Few = 1
    """Autoscaling keeps at most so many; default: initial."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return {"initial": value, "min": value, "max": value}
        if isinstance(value, Mapping) and "max" not in value and "initial" in value:
            return {**value, "max": value["initial"]}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "integer", "minimum": 1}, handler(core)]}


class Eviction(Settings):
    """What leaves when something needs the room; pinned, busy and loading models never do."""

    gpu: EvictionRef = policy("lru")
    """What leaves the GPU (host memory on a CPU endpoint)."""
    disk: EvictionRef = policy("lru")
    """What leaves the disk."""


class Server(Settings):
    """What runs on an instance: Triton and its host."""

    max_models: Annotated[Count, Field(le=1_000_000)] = 0
    """Models in an instance's memory at most, whatever they take; 0: as many as fit."""
    load_threads: Few = 4
    """Loads at once per instance (Triton --model-load-thread-count)."""
    download_threads: Few = 4
    """Downloads at once per instance."""
    load_retries: Annotated[Count, Field(le=1000)] = 2
    """After an out-of-memory load: evict more and try again, so often."""
    load_timeout: PositiveDuration = 360.0
    """SageMaker's budget for download and load."""
    failed_retry_after: Duration = 60.0
    """A model whose load failed is refused for so long."""
    invocation_timeout: PositiveDuration = 60.0
    """Then the caller gets ModelNotReadyException (429) if the model is still loading, else a time-out."""
    gpu_memory_threshold: PositiveFraction = 0.90
    """Fraction of the visible device memory that may be used."""
    host_memory_threshold: PositiveFraction = 0.80
    """Fraction of the host memory that may be used."""
    disk_threshold: PositiveFraction = 0.90
    """Fraction of the disk that may be used."""
    idle_gpu_bytes: Bytes = 165 << 20
    """Used by an empty server on the device."""
    host_base_bytes: Bytes = 2 << 30
    """Used by the operating system and an empty server."""
    keep_on_disk: bool = True
    """false: an unloaded model's files are deleted too."""
    model_cache: Literal["enabled", "disabled"] = "enabled"
    """ModelCacheSetting; disabled: unload and delete after each use."""
    unload_poll: Duration = 0.5
    """Triton's SageMaker front end looks so often whether an unload has ended."""
    unload_time: DurationLaw | None = None
    """Time t of an unload proper; the caller sees poll·(⌈t/poll⌉+1). null: the profile's, 100 ms if it has none."""
    unload_stalls_admission: bool = False
    """Triton 25.12 and later admit nothing on that server during an unload."""
    load_slowdown: Annotated[Real, Field(ge=1, le=1000)] | None = None
    """Running inference takes so much longer while a load runs on that instance; null: the profiles' largest, 1 if
    none has it."""
    interference: Annotated[Number, Field(le=100)] | None = None
    """k in speed = 1 / (1 + k·(n-1)) for n batches running on one device; null: the profiles' largest, else 0."""
    frontend_threads: Annotated[Whole, Field(ge=1, le=64)] | None = None
    """Threads of an instance that receive and decode requests, for as long as the profiles say (`frontend`); null: the
    profiles' largest, else 1."""
    frontend_overhead: Duration = 0.005
    """Network and front end, added to each answer besides the profile's own overhead."""
    first_inference: Duration | None = None
    """Extra time of a copy's first batch after a load (warm-up); null: the profile's, 0 if it has none."""
    load_time_cv: Annotated[Number, Field(le=10)] = 0.2
    """Spread of load times round the profile's value (lognormal); 0: exact."""


class Storage(Settings):
    """S3, the network between it and the instances, the disks, PCIe."""

    s3_first_byte: DurationLaw = lognormal(0.15, 0.3)
    """Time from a request to S3 to its first byte."""
    s3_connection_rate: PositiveRate = 87e6
    """Rate of one connection."""
    s3_connections: Few = 8
    """Parallel ranged GETs per download."""
    s3_prefix_rate: PositiveNumber = 5500.0
    """GET/s before S3 answers 503 Slow Down."""
    s3_part: Annotated[Bytes, Field(ge=1)] = 8 << 20
    """Bytes per ranged GET (counts against s3_prefix_rate)."""
    s3_retry_backoff: Duration = 0.2
    """First pause after a 503 or a failed download; doubles each time."""
    s3_attempts: Annotated[Whole, Field(ge=1, le=1000)] = 10
    """Then the download fails."""
    network_credit: Duration = 900.0
    """Time at full speed of an instance with full network credits; refilled below the baseline."""
    extract_rate: PositiveRate = 200e6
    """Unpacking of the archive: output bytes per second and vCPU."""
    disk_read_rate: PositiveRate | None = None
    """null: the catalog's, else its default rule; shared by the loads of an instance."""
    host_to_device_rate: PositiveRate = 6e9
    """PCIe."""


class Provisioning(Settings):
    """How instances come and go."""

    time: DurationLaw = lognormal(330.0, 0.1)
    """From launch to in service."""
    in_service_at_start: bool = True
    """false: the initial instances are provisioned too."""
    drain_timeout: Duration = 600.0
    """Then an instance that leaves is cut off."""


class Metrics(Settings):
    """CloudWatch."""

    period: Annotated[Duration, Field(ge=1)] = 60.0
    """Period of the metrics; 10s for high resolution."""
    publish_delay: Duration = 15.0
    """From the period's end until policies can see it."""


class Endpoint(Settings):
    """The multi-model endpoint."""

    like: str | None = None
    """A twin: the rules of a real system for all that is not given here (`mmesim twins`); null: the defaults."""
    instance_type: str = "ml.g4dn.2xlarge"
    """A row of the catalog, built in or of your own (`instance_types`)."""
    instances: Instances = Instances()
    """How many instances."""
    availability_zones: Annotated[Whole, Field(ge=1, le=100)] = 1
    """Instances are spread over so many zones, round robin."""
    framework_versions: Mapping[str, str] = Field(default_factory=dict)
    """Only names what the settings stand for, e.g. {triton: "24.10"}."""
    routing: Routing = policy("least_outstanding")
    """Which warm copy serves, or that another copy is wanted."""
    placement: Placement = policy("least_loaded")
    """Where a cold model goes."""
    eviction: Eviction = Eviction()
    """What leaves the GPU and the disk."""
    prewarm: Prewarm = policy("none")
    """What is loaded before it is asked for."""
    admission: Admission = policy("always")
    """Accept, or refuse with 503."""
    autoscaling: tuple[Autoscaling, ...] = ()
    """Any number of policies; the largest wins, in only if all agree."""
    server: Server = Server()
    """What runs on an instance."""
    storage: Storage = Storage()
    """S3, network, disk."""
    provisioning: Provisioning = Provisioning()
    """How instances come and go."""
    metrics: Metrics = Metrics()
    """CloudWatch."""
