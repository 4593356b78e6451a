"""From raw results to profiles: each number with the step it comes from; what was not measured is absent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmesim.calibrate.analyze.device import catalog_name
from mmesim.calibrate.analyze.numbers import SOURCE, numbers_of
from mmesim.calibrate.analyze.results import Results, read_results
from mmesim.calibrate.analyze.settings import AnalyzeSettings
from mmesim.calibrate.serving.written import with_keys
from mmesim.profile import ModelProfile, read_profile
from mmesim.profile.model import ON_CPU
from mmesim.profile.write import profile_yaml

MAIN_FIELD = {"grid": "latency", "load": "load", "memory": "host_bytes", "work": "host_cpu",
              "slowdown": "load_slowdown", "interference": "interference", "artifact": "artifact_bytes"}
"""Kind of measurement -> the field of the profile that shows that it was made."""
RUN_KEY = "run"
"""Key of the run in the profile's sources."""
HEAD = """\
# {model} on {device}.
# Written by mmesim profile analyze; what was not measured is absent.
"""


def write_profiles(settings: AnalyzeSettings, digests: Mapping[str, str]) -> list[dict[str, Any]]:
    """Writes ``profiles/MODEL.yaml`` for each model; a row about each, with the kinds that were not measured."""
    rows = []
    for model in settings.models:
        results = read_results(settings.folder, model, digests)
        path = settings.folder / "profiles" / f"{model}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(profile_text(settings, results, digests.get(model, "")), encoding="utf-8")
        rows.append(_row(path, read_profile(path)))
    return rows


def profile_text(settings: AnalyzeSettings, results: Results, digest: str) -> str:
    """The profile of one model as YAML."""
    config = results.records[f"model/{results.model}"]["result"]["config"]
    machine = _latest_machine(results)
    device = settings.gpu or catalog_name(machine["gpu"]) or ON_CPU
    backend = config.get("backend") or config.get("platform", "")
    source = (f"mmesim profile analyze, {machine['date']}, Triton {machine['triton']}, Model Analyzer "
              f"{machine['analyzer']}, on {machine['gpu'] or machine['cpu'] or settings.url}")
    profile = {"name": results.model, "model": results.model, "input": _item(config), "backend": backend,
               "precision": settings.precision or "unknown", "gpu": device, "framework": backend,
               "measured_on": {name: text for name, text in {**machine, "digest": digest}.items() if text},
               **numbers_of(results, config, device)}
    profile = with_keys(profile, {SOURCE: RUN_KEY})
    sources = {key: source if key == RUN_KEY else text for key, text in profile["sources"].items()}
    return profile_yaml(HEAD.format(model=results.model, device=device), {**profile, "sources": sources})


def _latest_machine(results: Results) -> dict[str, str]:
    return max((dict(record["machine"]) for record in results.records.values()), key=lambda machine: machine["date"])


def _item(config: Mapping[str, Any]) -> str:
    """One item of a request in words: ``INPUT fp32[3, 224, 224]``."""
    return ", ".join(f"{entry['name']} {entry['data_type'].removeprefix('TYPE_').lower()}{[*map(int, entry['dims'])]}"
                     for entry in config["input"])


def _row(path: Path, profile: ModelProfile) -> dict[str, Any]:
    """What was measured, in short."""
    file = profile.file
    return {"profile": str(path), "batch 1 ms": round(1e3 * profile.service_s(1), 3) if file.latency else None,
            "load s": round(profile.load_time_s, 3) if profile.load_time_s is not None else None,
            "copy MiB": _mib(profile.gpu_bytes if profile.gpu_bytes else profile.host_bytes),
            "not measured": [kind for kind, field in MAIN_FIELD.items() if not getattr(file, field)]}


def _mib(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else round(size_bytes / (1 << 20), 1)
