"""Finds tritonserver, perf_analyzer and model-analyzer, or assembles them from pip's wheels.

In order: the path that was given, a program on PATH, the wheels (``pip install 'mmesim[triton,profile]'``). The wheel
nvidia-pytriton carries a whole server, but not ready to run: the program has no run bit, the python backend no stub
beside it, and without ``nvidia_pytriton.libs`` on LD_LIBRARY_PATH the stub dies and a load hangs for ever. The
perf_analyzer in tritonclient 2.51 wants libb64.so.0d and libcudart.so.12, which nvidia-pytriton has under other names.
All of that is put right once, in a cache folder, behind two small scripts that any tool can call.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from mmesim.errors import InputError, Problem
from mmesim.triton.processes import DIE_WITH_PARENT

INSTALL = "pip install 'mmesim[triton,profile]' (Linux x86-64, Python 3.11 or 3.12)"
RENAMED = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12*"}
"""What perf_analyzer asks for -> the same library in nvidia-pytriton."""
PROBE_S = 30


@dataclass(frozen=True)
class Tools:
    """Programs that run as they are."""

    server: Path
    perf_analyzer: Path
    model_analyzer: Path


def find_tools(server: Path | None = None, *, elsewhere: bool = False) -> Tools:
    """All three, but for the server when one runs elsewhere.

    Raises InputError with everything that is missing, and how to get it.
    """
    problems: list[Problem] = []

    def found(look: Callable[[], Path]) -> Path:
        try:
            return look()
        except InputError as error:
            problems.extend(error.problems)
            return Path()

    program = Path() if elsewhere else found(partial(find_server, server))
    tools = Tools(program, found(find_perf_analyzer), found(find_model_analyzer))
    if problems:
        raise InputError(problems)
    return tools


def find_server(given: Path | None = None) -> Path:
    """A tritonserver that runs: `given`, on PATH, or from the wheel. Raises InputError."""
    if given is not None:
        if not os.access(given, os.X_OK) or given.is_dir():
            raise InputError(Problem(f"no program: {given}", path="--triton-server", hint="name tritonserver itself"))
        return given.absolute()
    if on_path := shutil.which("tritonserver"):
        return Path(on_path)
    package = _wheel("pytriton", "tritonserver", "--triton-server PATH or --url")
    return _assembled_server(package / "tritonserver", package.parent / "nvidia_pytriton.libs")


def find_perf_analyzer() -> Path:
    """A perf_analyzer that runs, on PATH or beside this Python. Raises InputError naming the missing library."""
    program = _beside_or_on_path("perf_analyzer", "tritonclient==2.51.0")
    fault = _fault(program)
    if fault and find_spec("pytriton"):
        program = _assembled_perf_analyzer(program, _wheel("pytriton", "", "").parent / "nvidia_pytriton.libs")
        fault = _fault(program)
    if fault:
        raise InputError(Problem(f"{program} does not run: {fault}", hint="its libraries come with pip install "
                                 "nvidia-pytriton==0.7.0, or with apt-get install libb64-0d and the CUDA runtime"))
    return program


def find_model_analyzer() -> Path:
    """The program model-analyzer. Raises InputError."""
    return _beside_or_on_path("model-analyzer", "triton-model-analyzer")


def installed_version(package: str) -> str:
    """Version of an installed package; empty when it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _beside_or_on_path(name: str, package: str) -> Path:
    program = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        raise InputError(Problem(f"{name} is not installed", hint=f"{INSTALL}, or pip install {package}"))
    return Path(program)


def _wheel(package: str, wanted: str, otherwise: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(Problem(f"{wanted} is not installed", hint=f"{INSTALL}; one that is elsewhere: {otherwise}"))
    return Path(spec.submodule_search_locations[0])


def _fault(program: Path) -> str:
    """Why a program does not even start; empty when it does."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=PROBE_S)
    return "" if done.returncode in (0, 1) else (done.stderr or done.stdout).strip()[-300:]


# Assembling ----------------------------------------------------------------------------------------------------------

def cache_folder() -> Path:
    """Where assembled programs are kept: one folder for each version, Python and place of the wheels."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    from hashlib import sha256
    place = sha256(f"{sys.prefix} {sys.version}".encode()).hexdigest()[:8]
    return base / "mmesim" / f"triton-{installed_version('nvidia-pytriton')}-{place}"


def _assembled_server(triton: Path, libraries: Path) -> Path:
    folder = cache_folder()
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = triton / "python_backend_stubs" / python / "triton_python_backend_stub"
    if not stub.is_file():
        raise InputError(Problem(f"nvidia-pytriton has no python backend for Python {python}", hint=INSTALL))
    backends = folder / "backends"
    _copy(triton / "bin" / "tritonserver", folder / "bin" / "tritonserver")
    for file in (triton / "backends" / "python").iterdir():
        if file.is_file():
            _copy(file, backends / "python" / file.name)
    _copy(stub, backends / "python" / stub.name)
    path = [libraries, _libpython_folder()]
    environment = {"PATH": f"{Path(sys.prefix) / 'bin'}:$PATH",
                   "PYTHONPATH": _site_packages() + "${PYTHONPATH:+:$PYTHONPATH}"}
    return _script(folder / "tritonserver", folder / "bin" / "tritonserver", path, environment,
                   f"--backend-directory={backends}")


def _assembled_perf_analyzer(program: Path, libraries: Path) -> Path:
    folder = cache_folder()
    (folder / "lib").mkdir(parents=True, exist_ok=True)
    for name, pattern in RENAMED.items():
        for library in libraries.glob(pattern):
            _link(library, folder / "lib" / name)
    return _script(folder / "perf_analyzer", program, [folder / "lib", libraries], {})


def _libpython_folder() -> Path:
    """The folder of libpython3.x.so, which the python backend's stub is linked to."""
    name = sysconfig.get_config_var("INSTSONAME") or ""
    folders = [Path(sysconfig.get_config_var("LIBDIR") or ""), *map(Path, ("/usr/lib/x86_64-linux-gnu", "/usr/lib64"))]
    name = name if ".so" in name else f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    for folder in folders:
        if (folder / name).exists():
            return folder
    raise InputError(Problem(f"{name} is not on this machine; Triton's python backend needs it", hint="apt-get install "
                             f"{name.partition('.so')[0]}, or a Python that was built with --enable-shared"))


def _site_packages() -> str:
    return ":".join(dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))))


def _script(path: Path, program: Path, libraries: list[Path], environment: Mapping[str, str], *arguments: str) -> Path:
    """A shell script that runs `program` with its libraries; written atomically, since others may be running it."""
    path_text = ":".join(map(str, libraries)) + "${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    settings = {"LD_LIBRARY_PATH": path_text, **environment}
    lines = ["#!/bin/sh", *(f'export {name}="{value}"' for name, value in settings.items()),
             " ".join(["exec", *DIE_WITH_PARENT, f'"{program}"', *(f'"{argument}"' for argument in arguments), '"$@"'])]
    _put(path, lambda new: new.write_text("\n".join(lines) + "\n", encoding="utf-8"))
    return path


def _copy(source: Path, target: Path) -> None:
    if not target.exists() or target.stat().st_size != source.stat().st_size:
        _put(target, lambda new: shutil.copyfile(source, new))


def _link(source: Path, target: Path) -> None:
    if not target.exists():
        target.unlink(missing_ok=True)
        target.symlink_to(source)


def _put(target: Path, write: Callable[[Path], object]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.{os.getpid()}")
    write(new)
    new.chmod(new.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    new.replace(target)
