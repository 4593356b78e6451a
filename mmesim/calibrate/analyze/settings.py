"""What `mmesim profile analyze` is asked to measure, and the model repository it finds."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmesim.errors import InputError, Problem, alternatives

KINDS = {"grid": "latency and throughput over batch size, concurrency and instance count (Model Analyzer)",
         "load": "time of a load: warm and cold page cache, several at once; of an unload; of the first inference",
         "memory": "memory of the first and of each further copy",
         "work": "CPU time of a request, in the server and in the model",
         "slowdown": "slow-down of running inference while another model loads",
         "interference": "throughput of two models that run side by side",
         "artifact": "size of files and archive, extraction, and download when a URL is given"}
"""What can be measured, with the names that --only and --skip take."""
COPY_MARK = "--copy"
_CONFIG = "config.pbtxt"


@dataclass(frozen=True, kw_only=True)
class AnalyzeSettings:
    """Everything the user asked for."""

    repository: Path | None
    """Triton's model repository on this machine; None: only the running server at `url` has it."""
    folder: Path
    """The run's folder: raw results, logs, profiles."""
    models: tuple[str, ...]
    kinds: tuple[str, ...] = tuple(KINDS)
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8)
    concurrencies: tuple[int, ...] = (1, 2, 4, 8)
    instance_counts: tuple[int, ...] = ()
    """Empty: as in the model's configuration."""
    runs: int = 5
    """How often a load is repeated."""
    parallel: tuple[int, ...] = (2, 4)
    """So many loads at once."""
    window_s: float = 2.0
    """Length of one measurement under load."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Input -> dimensions, where the model leaves them open."""
    archives: Mapping[str, str] = field(default_factory=dict)
    """Model -> URL of its archive (s3:// or https://)."""
    server_program: Path | None = None
    url: str = ""
    """HTTP address of a running server; empty: one is started here."""
    grpc_url: str = ""
    metrics_url: str = ""
    gpu: str = ""
    """The GPU's name, or ``cpu``; empty: the machine tells. A server elsewhere (`url`) does not."""
    precision: str = ""
    """For the profile: nothing on the server tells it."""

    @property
    def copies(self) -> int:
        """Copies of each model that the scratch repository offers."""
        return max(2, *self.parallel)

    def model_folder(self, model: str) -> Path:
        """Where the model's files are."""
        assert self.repository is not None
        return self.repository / model


def find_models(repository: Path, wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names of the models in a repository, or the `wanted` ones of them. Raises InputError."""
    if not repository.is_dir():
        raise InputError(Problem("no such folder", file=str(repository), hint="name Triton's model repository, or make "
                                 "one to try: mmesim profile analyze --example FOLDER"))
    found = sorted(path.name for path in repository.iterdir() if _is_model(path))
    if not found:
        raise InputError(Problem("holds no model", file=str(repository), hint="a model is a folder with config.pbtxt, "
                                 "or with a folder for each version: MODEL/1/model.onnx"))
    if unknown := [name for name in wanted if name not in found]:
        raise InputError(Problem(f"no model {unknown[0]!r} in {repository}", hint=alternatives(unknown[0], found)))
    return wanted or tuple(found)


def _is_model(folder: Path) -> bool:
    return folder.is_dir() and ((folder / _CONFIG).is_file() or any(path.name.isdigit() for path in folder.iterdir()))


def digest(folder: Path) -> str:
    """A hash of names and contents of all files in a model's folder."""
    total = hashlib.sha256()
    for path in model_files(folder):
        total.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]


def model_files(folder: Path) -> list[Path]:
    """The files that make up a model, sorted; what Python leaves behind is not among them."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def write_scratch_repository(settings: AnalyzeSettings) -> Path:
    """A repository of links to the models, and to further copies of each under other names."""
    scratch = settings.folder / "repository"
    scratch.mkdir(parents=True, exist_ok=True)
    for model in settings.models:
        for number in range(settings.copies):
            _write_copy(settings.model_folder(model).absolute(), scratch / copy_name(model, number))
    return scratch


def copy_name(model: str, number: int) -> str:
    """Name of the model's `number`-th copy; 0 is the model itself."""
    return f"{model}{COPY_MARK}{number}" if number else model


def _write_copy(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for entry in source.iterdir():
        link = target / entry.name
        if entry.name == _CONFIG:
            link.unlink(missing_ok=True)
            link.write_text(renamed(entry.read_text(encoding="utf-8"), source.name, target.name), encoding="utf-8")
        elif not link.is_symlink():
            link.symlink_to(entry)


def renamed(config: str, old: str, new: str) -> str:
    """The configuration with another model name; one without a name takes its folder's."""
    return re.sub(rf'^(\s*name\s*:\s*)"{re.escape(old)}"', rf'\g<1>"{new}"', config, count=1, flags=re.MULTILINE)
