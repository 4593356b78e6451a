"""The seams of live mode: what the runtime needs of servers, of the store and of who starts servers, and what the
gateway needs of the runtime. Times are int nanoseconds of the runtime's clock (`now_ns`) or float seconds (`_s`).

Everything runs in one asyncio event loop; nothing here blocks it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mmesim.core.types import NONE, Failure, Tier

MAX_ATTEMPTS = 3
"""How often a request is sent, when servers are lost under it."""


class ServerDown(Exception):
    """The server does not answer: it died, hangs or cannot be reached. The text says which."""


class LoadRefused(Exception):
    """The server answered, and did not load the model."""

    def __init__(self, reason: str, *, out_of_memory: bool = False) -> None:
        super().__init__(reason)
        self.out_of_memory = out_of_memory


class FetchFailed(Exception):
    """An archive could not be brought to the disk; nothing of it is there. The text says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens, ``host:port`` each; an empty one is not offered."""

    http: str
    grpc: str
    metrics: str = ""
    sagemaker: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """Memory that a loaded copy takes."""

    gpu_bytes: int
    host_bytes: int


class Server(Protocol):
    """One Triton server in explicit model control, from the control plane's side."""

    name: str
    address: Address
    repository: Path
    """Its model repository: a folder for each model on its disk, put there and taken away by the store."""

    async def is_ready(self) -> bool:
        """Whether it answers its health check now; False within a few seconds when it hangs."""

    async def index(self) -> Mapping[str, str]:
        """Model -> READY, LOADING, UNLOADING or UNAVAILABLE, as its repository index says. Raises ServerDown."""

    async def load(self, model: str, timeout_s: float) -> None:
        """Loads a model whose files are in the repository. Raises LoadRefused, ServerDown."""

    async def unload(self, model: str, timeout_s: float) -> None:
        """Unloads it and waits until the index says so. A model that is not loaded is unloaded already.
        Raises ServerDown."""

    async def taken(self, model: str) -> Taken | None:
        """What a loaded copy takes, measured; None: it cannot be told apart from the others."""

    async def scrape(self) -> Mapping[str, float]:
        """Levels now, by CloudWatch's names where they have one (``GPUUtilization`` and the like, in percent).
        Raises ServerDown."""

    async def close(self) -> None:
        """Closes connections; the server goes on."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A model as the store's source lists it."""

    name: str
    """The model's name: the key below the prefix without ``.tar.gz``; never with a slash, ``..`` or a leading dot."""
    size_bytes: int
    """Compressed (of a folder: its files)."""
    version: str
    """Changes when the archive does (ETag, or time and size)."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An archive that has become a folder of a model repository."""

    disk_bytes: int
    """What its files take on the disk."""
    downloaded_bytes: int
    extract_ns: int
    """How long the unpacking took of the whole."""


class Manifest(Protocol):
    """What is known of a model's folder."""

    @property
    def version(self) -> str:
        """Of the archive it comes from."""
    @property
    def disk_bytes(self) -> int: ...


class Store(Protocol):
    """Where the models come from, and how they get to a server's disk."""

    async def list(self) -> Mapping[str, Archive]:
        """The models that exist now, by name. Raises FetchFailed when the source does not answer."""

    async def unpacked_bytes(self, archive: Archive) -> int:
        """What it is expected to take on the disk. Raises FetchFailed."""

    async def fetch(self, archive: Archive, repository: Path, limit_bytes: int) -> Fetched:
        """Brings it into the repository; the model's folder appears whole or not at all. Raises FetchFailed: not there,
        cut off, damaged, hostile, larger than `limit_bytes` unpacked, disk full, source down after its attempts."""

    async def delete(self, model: str, repository: Path) -> None:
        """Takes the model's folder away; it vanishes at once."""

    async def manifests(self, repository: Path) -> Mapping[str, Manifest]:
        """Whole models in the repository. What an interrupted fetch or delete left is removed."""

    async def close(self) -> None:
        """Ends what is under way."""


class Provisioner(Protocol):
    """Who starts and stops servers."""

    async def start(self, slot: int) -> Server:
        """A server for this slot, ready and with nothing loaded; its disk may hold models. Raises ServerDown."""

    async def stop(self, slot: int) -> None:
        """Ends the server of this slot and all it started, hanging or not, and empties its disk: it was scaled in."""

    async def restart(self, slot: int) -> Server | None:
        """The server of this slot died or hangs: end what is left of it and start it anew; its disk stays. None: it is
        not ours to restart, it may come back by itself at its address. Raises ServerDown."""

    async def close(self) -> None:
        """Ends all that it started."""


@dataclass(slots=True)
class Ticket:
    """One request between its arrival and its end. `failure` other than NONE: it was refused or has failed."""

    serial: int
    model: int
    name: str
    arrived_ns: int
    instance: int = NONE
    tier: Tier = Tier.GPU
    failure: Failure = Failure.NONE
    reason: str = ""
    """What the caller is told besides."""
    held: bool = False
    """It waits for a load."""
    attempt: int = 1
    sent_ns: int = 0
    """Released to the server."""
    server_ns: int = 0
    """How long the server took for its answer."""
    over: bool = False
    parked: bool = False
    """Its server may be gone: `Endpoint.wait` finds out, and then it arrives anew."""
    on_release: Callable[[], None] | None = field(default=None, repr=False)

    @property
    def must_wait(self) -> bool:
        """Not to be sent before `Endpoint.wait` has returned."""
        return self.held or self.parked


class Endpoint(Protocol):
    """The runtime, as the gateway and the management API see it."""

    name: str
    invocation_timeout_s: float

    @property
    def ready(self) -> bool:
        """In service: at least one server, not draining."""

    def holder(self, name: str) -> Server | None:
        """A server in service with a READY copy of this model; None: there is none, or no such model. Asking counts as
        no request and loads nothing."""

    def begin(self, name: str) -> Ticket:
        """A request for this model has arrived; admission and routing are done at once. Never raises."""

    def wait(self, ticket: Ticket) -> Awaitable[None]:
        """Until a held request may be sent, has failed, or its invocation's time ran out (MODEL_NOT_READY). Cancelled:
        the request is over."""

    def server(self, ticket: Ticket) -> Server:
        """Where it is sent."""

    def end(self, ticket: Ticket, failure: Failure = Failure.NONE) -> None:
        """It is over, once: answered, failed, or its client has gone."""

    def broken(self, ticket: Ticket) -> None:
        """Its copy answers, and will not be of use before it is loaded anew: see to that."""

    def again(self, ticket: Ticket) -> Ticket:
        """The server did not answer it: it ends there, and arrives anew when `wait` has found out what became of the
        server (`must_wait` until then). After `MAX_ATTEMPTS` it is failed INSTANCE_LOST."""
