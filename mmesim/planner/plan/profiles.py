"""A scenario's profiles on another GPU: the user's own, else the same model measured there, else scaled by the rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmesim.planner.plan.question import Question
from mmesim.profile import ModelProfile, profile_names
from mmesim.profile.model import ON_CPU
from mmesim.results.plan_files import PROFILES
from mmesim.scenario.references import resolve


@dataclass
class Fitted:
    """What has to be changed so that the models run on a device."""

    changes: dict[str, str] = field(default_factory=dict)
    """``models.0.profile`` -> value as written."""
    notes: list[str] = field(default_factory=list)
    """What a scaled profile rests on."""
    error: float = 0.0
    """Of the service times, where they are scaled."""
    missing: list[str] = field(default_factory=list)
    """Profiles for which there is nothing."""


def fitted(question: Question, device: str | None) -> Fitted:
    """The profiles of the scenario's models for a device (a GPU, or None: the CPU)."""
    device = device or ON_CPU
    own = question.settings.profiles.get(device, {})
    found = Fitted()
    for i, group in enumerate(resolve(question.scenario).groups):
        name = group.settings.profile
        if name in own:
            found.changes[f"models.{i}.profile"] = own[name]
        elif group.profile.gpu != device:
            _elsewhere(question, found, i, group.profile, device)
    return found


def _elsewhere(question: Question, found: Fitted, i: int, profile: ModelProfile, device: str) -> None:
    sibling = next(_siblings(profile, device), None)
    if sibling is not None:
        found.changes[f"models.{i}.profile"] = sibling
        return
    scaled = question.scale(profile, device) if question.scale and ON_CPU not in (profile.gpu, device) else None
    if scaled is None:
        found.missing.append(profile.name)
        return
    file = f"{profile.name}-on-{device.lower().replace(' ', '-')}.yaml"
    path = _written(question.folder / PROFILES / file, scaled.text)
    found.changes[f"models.{i}.profile"] = str(path.absolute())
    found.notes.append(f"{profile.name} was not measured on {device}: {scaled.rests_on}")
    found.error = max(found.error, scaled.error)


def _siblings(profile: ModelProfile, device: str) -> Iterator[str]:
    """Shipped profiles of the same model, backend and precision on the device, by the rule of their names."""
    mark = f"-{profile.gpu.lower()}"
    name = f"{profile.name.removesuffix(mark)}-{device.lower()}"
    if name in profile_names():
        yield name


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    return path
