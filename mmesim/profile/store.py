"""Finds, reads and checks profiles: the shipped ones by name, the user's own by name or path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mmesim.errors import InputError, Problem, alternatives
from mmesim.packaged import packaged_dir
from mmesim.profile.model import ON_CPU, ModelProfile
from mmesim.profile.schema import ProfileFile, provenances
from mmesim.yamldoc import Document, in_file_order, load_document, validate

SUFFIXES = (".yaml", ".yml")


def profile_names() -> list[str]:
    """Names of the shipped profiles, sorted."""
    return sorted(path.stem for path in packaged_dir("profiles").glob("*.yaml"))


def profile_path(name: str) -> Path:
    """The file of the shipped profile `name`. Raises InputError with the nearest names."""
    path = packaged_dir("profiles") / f"{name}.yaml"
    if "/" in name or not path.is_file():
        raise InputError(Problem(f"unknown profile {name!r}", hint=alternatives(name, profile_names())))
    return path


def load_profile(name_or_path: str | Path, extra: Mapping[str, Path] | None = None) -> ModelProfile:
    """The profile called so in `extra` (name -> file), or shipped under that name, or in that file.

    Raises InputError: unknown name, or everything that is wrong in the file, with lines.
    """
    own = extra or {}
    name = str(name_or_path)
    if name in own:
        return read_profile(own[name])
    if name.endswith(SUFFIXES):
        return read_profile(Path(name))
    if own and name not in profile_names():
        hint = alternatives(name, [*own, *profile_names()])
        raise InputError(Problem(f"unknown profile {name!r}", hint=hint))
    return read_profile(profile_path(name))


def read_profile(path: Path) -> ModelProfile:
    """The profile in the file at `path`. Raises InputError with everything that is wrong in it."""
    document = load_document(path)
    file = validate(ProfileFile, document)
    if problems := in_file_order(_contradictions(file, document)):
        raise InputError(problems)
    return ModelProfile.of(file)


def _contradictions(file: ProfileFile, document: Document) -> Iterator[Problem]:
    """What each value alone does not show."""
    yield from _of_sources(file, document)
    yield from _of_batches(file, document)
    if file.gpu_share and not 0 < file.gpu_share.value <= 1:
        yield document.problem(("gpu_share", "value"), f"{file.gpu_share.value:g} is out of range",
                               "write a value above 0 and at most 1")
    yield from _of_device(file, document)


def _of_device(file: ProfileFile, document: Document) -> Iterator[Problem]:
    """Memory and vCPUs are those of the device; what is left out was not measured."""
    on_cpu = file.gpu == ON_CPU
    for name in ("gap", "gap_per_item", "interference_k"):
        if on_cpu and getattr(file, name):
            yield document.problem((name,), "means the GPU, and this model runs on the CPU", "leave it out")
    if on_cpu and file.cpu_cores and not file.cpu_cores.value:
        yield document.problem(("cpu_cores", "value"), "a batch on a CPU takes some vCPUs",
                               "write e.g. 1, or leave it out if nobody measured it")
    if file.gpu_bytes and on_cpu and file.gpu_bytes.value:
        yield document.problem(("gpu_bytes", "value"), "a model on a CPU takes no GPU memory",
                               "write 0; its memory is host_bytes")
    if file.gpu_bytes and not on_cpu and not file.gpu_bytes.value:
        yield document.problem(("gpu_bytes", "value"), "a model on a GPU takes some of its memory",
                               "write e.g. 268MiB; for a model on the CPU write gpu: cpu")


def _of_sources(file: ProfileFile, document: Document) -> Iterator[Problem]:
    for path, known in provenances(file):
        if known.source not in file.sources:
            yield document.problem((*path, "source"), f"{known.source!r} is not among the file's sources",
                                   alternatives(known.source, file.sources))


def _of_batches(file: ProfileFile, document: Document) -> Iterator[Problem]:
    points = file.latency.batches if file.latency else []
    for index, point in enumerate(points):
        here = ("latency", "batches", index)
        if point.total_s <= 0:
            yield document.problem(here, f"batch {point.batch} takes no time", "give infer a value above 0")
        if index and point.batch <= points[index - 1].batch:
            yield document.problem(here, f"batch {point.batch} stands after batch {points[index - 1].batch}",
                                   "list each batch size once, in rising order")
    for size in file.preferred_batch_sizes.value:
        if size > file.max_batch_size.value:
            yield document.problem(("preferred_batch_sizes", "value"), f"{size} is above max_batch_size",
                                   f"write sizes up to {file.max_batch_size.value}")
