"""What may be written in the settings file of a live endpoint (`mmesim live serve FILE`).

The section `endpoint` is a scenario's, word for word: the same policies with the same parameters. What it says of the
simulated world (instance type, storage, provisioning) is not used here: the world is real.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, model_validator

from mmesim.core.types import InstanceSpec, ModelSpec
from mmesim.errors import InputError
from mmesim.live.gateway.management import ManagementSettings
from mmesim.live.gateway.settings import GatewaySettings
from mmesim.live.ports import Archive
from mmesim.live.provision.settings import LocalSettings
from mmesim.live.servers.settings import RunningServer, ServerSettings
from mmesim.live.setup import Setup
from mmesim.live.store.settings import StoreSettings
from mmesim.scenario.build import endpoint_spec
from mmesim.scenario.endpoint import Endpoint
from mmesim.scenario.overrides import apply_overrides
from mmesim.scenario.twins import with_twin
from mmesim.settings import Bytes, Count, Duration, Number, Settings, wrong
from mmesim.yamldoc import load_document, validate

LOAD_S = 2.0
"""A load that nothing is known of: the median of the shipped profiles' measured loads is 1 to 3 s (assumed)."""
DOWNLOAD_BPS = 100e6
"""Archive bytes a second, where nothing was measured yet (assumed)."""
UNPACK_BPS = 200e6
"""Archive bytes a second, where nothing was measured yet: one core of gzip (assumed)."""


class Capacity(Settings):
    """What models may fill of one server; all servers are alike."""

    gpu_memory: Bytes = 0
    """Device memory; 0: a server without a GPU, whose models live in host memory."""
    host_memory: Annotated[Bytes, Field(gt=0)] = 8 << 30
    """Host memory."""
    disk: Annotated[Bytes, Field(gt=0)] = 20 << 30
    """Quota of the model repository."""


class ModelRule(Settings):
    """What is expected of some models before they were ever loaded; afterwards what was measured counts."""

    match: str = "*"
    """Names: a pattern with * and ?."""
    gpu_memory: Bytes | None = None
    """Device memory of one copy; null: `memory_per_byte` times the archive."""
    host_memory: Bytes | None = None
    """Host memory of one copy; null: `memory_per_byte` times the archive."""
    load_time: Duration = LOAD_S
    """From the disk to ready."""
    service_time: Duration = 0.0
    """Of one request alone, for routers that weigh waiting."""
    framework: str = ""
    """Models of one framework share its base memory on a device."""
    framework_memory: Bytes = 0
    """Device memory that the first model of the framework takes besides its own."""
    pin: bool = False
    """Never evicted."""


class ModelsSettings(Settings):
    """The models, as far as the store does not tell."""

    rules: tuple[ModelRule, ...] = ()
    """The first that matches a name counts."""
    memory_per_byte: Number = 1.2
    """Memory of a copy for each byte of its archive, where no rule tells (assumed)."""
    spare: Annotated[Count, Field(le=100_000)] = 1000
    """Places for models that are added while the endpoint runs."""


class JournalSettings(Settings):
    """The record of every event, action and request."""

    rotate: Annotated[Bytes, Field(ge=1 << 16)] = 64 << 20
    """A part of it ends at this size (compressed)."""
    keep: Bytes = 2 << 30
    """Journals of earlier starts are deleted, oldest first, when all take more."""
    flush: Annotated[Duration, Field(gt=0)] = 1.0
    """What is lost of it, at most, when the machine dies."""
    decisions: bool = True
    """Also how policies came to evict and to scale (`mmesim explain`)."""


class LiveConfig(Settings):
    """A live endpoint."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$")] = "live"
    """Name of the endpoint in the SageMaker Runtime API."""
    seed: Count = 0
    """Policies draw from it."""
    endpoint: Endpoint = Endpoint()
    """Policies and rules, as in a scenario."""
    capacity: Capacity = Capacity()
    """What models may fill of one server."""
    store: StoreSettings
    """Where the models come from."""
    servers: tuple[RunningServer, ...] = ()
    """Tritons that run already; none: `local` starts them."""
    server: ServerSettings = ServerSettings()
    """How servers are spoken to and watched."""
    local: LocalSettings = LocalSettings()
    """Tritons that are started here."""
    models: ModelsSettings = ModelsSettings()
    """What is expected of models."""
    gateway: GatewaySettings = GatewaySettings()
    """Where requests come in."""
    management: ManagementSettings = ManagementSettings()
    """Where models are listed, added and taken away, and metrics are read."""
    reconcile: Duration = 30.0
    """How often belief and reality are compared; 0: at start and after losses only."""
    list_models: Duration = 30.0
    """How often the store is asked for new, replaced and deleted models; 0: only at start and when asked to."""
    state: Path = Path("live-state")
    """Folder for journals, local servers and their model repositories; relative to this file."""
    journal: JournalSettings = JournalSettings()
    """The record of what happens."""
    shadow: tuple[str, ...] = ()
    """Settings of a second endpoint that decides on the same requests, in a process of its own:
    ["endpoint.eviction.gpu=gdsf"]."""

    _source_file: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _enough_servers(self) -> LiveConfig:
        if self.servers and len(self.servers) < self.endpoint.instances.max:
            raise wrong(f"{len(self.servers)} servers are named, and up to {self.endpoint.instances.max} instances "
                        "may be wanted", "name more servers, or lower endpoint.instances")
        return self

    @property
    def base_dir(self) -> Path:
        """The folder that files named in the settings are relative to."""
        return self._source_file.parent

    @property
    def state_dir(self) -> Path:
        """`state` from here."""
        return self.base_dir / self.state

    def expect(self, archive: Archive) -> ModelSpec:
        """What is expected of a model that is only known by its archive."""
        rule = next((rule for rule in self.models.rules if fnmatchcase(archive.name, rule.match)), ModelRule())
        by_size = round(self.models.memory_per_byte * archive.size_bytes)
        gpu_bytes = by_size if rule.gpu_memory is None else rule.gpu_memory
        fetch_s = archive.size_bytes / DOWNLOAD_BPS + archive.size_bytes / UNPACK_BPS
        return ModelSpec(
            archive.name, gpu_bytes=gpu_bytes if self.capacity.gpu_memory else 0,
            host_bytes=by_size if rule.host_memory is None else rule.host_memory, artifact_bytes=archive.size_bytes,
            disk_bytes=round(self.store.unpack.expansion * archive.size_bytes), framework=rule.framework,
            framework_base_bytes=rule.framework_memory, pinned=rule.pin, reload_disk_s=rule.load_time,
            reload_s3_s=rule.load_time + fetch_s, service_s=rule.service_time)

    def setup(self, models: list[ModelSpec]) -> Setup:
        """What the controller is made of."""
        capacity = InstanceSpec(self.capacity.gpu_memory, self.capacity.host_memory, self.capacity.disk)
        return Setup(name=self.name, seed=self.seed, spec=endpoint_spec(self.endpoint, capacity),
                     settings=self.endpoint, base_dir=self.base_dir.absolute(), models=tuple(models),
                     desired=self.endpoint.instances.initial)


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> LiveConfig:
    """The settings in a file, with ``path=value`` overrides. Raises InputError with everything that is wrong."""
    document = with_twin(apply_overrides(load_document(path), overrides))
    config = _placed(validate(LiveConfig, document), path)
    try:
        config.setup([]).policies()
    except InputError as error:
        raise InputError([document.located(problem) for problem in error.problems]) from None
    return config


def _placed(config: LiveConfig, path: Path) -> LiveConfig:
    """Files and folders named in the settings are relative to the file."""
    base = path.parent
    found = {"store": config.store if config.store.source.startswith("s3://") else
             config.store.model_copy(update={"source": str(base / config.store.source)}),
             "servers": tuple(server.model_copy(update={"repository": base / server.repository})
                              for server in config.servers)}
    for name in ("gateway", "management"):
        listen = getattr(config, name)
        files = {key: base / file for key in ("token_file", "tls_cert", "tls_key") if (file := getattr(listen, key))}
        found[name] = listen.model_copy(update=files)
    placed = config.model_copy(update=found)
    placed._source_file = path
    return placed


def schema() -> dict[str, Any]:
    """The settings file as JSON Schema."""
    return LiveConfig.model_json_schema(by_alias=True)
