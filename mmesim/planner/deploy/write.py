"""Writes a folder to deploy a chosen scenario from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmesim.planner.deploy.cloudformation import cloudformation_json
from mmesim.planner.deploy.live_serve import clairvoyant, write_live_serve
from mmesim.planner.deploy.parts import deployment
from mmesim.planner.deploy.readme import readme
from mmesim.planner.deploy.sagemaker import sagemaker_json
from mmesim.planner.deploy.terraform import terraform_json
from mmesim.scenario.references import References, resolve
from mmesim.scenario.schema import Scenario


def write_deployment(scenario: Scenario, folder: Path, *, name: str, notes: Sequence[str] = ()) -> list[Path]:
    """Writes the files that deploy `scenario` as an endpoint called `name` into `folder`; returns them.

    ``sagemaker.json`` (requests for boto3), ``cloudformation.json``, ``terraform.tf.json``, ``live-serve.yaml`` (with
    the modules of the user's own policies beside it) and ``README.md``. `notes`: sentences for its last section.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = resolve(scenario)
    deployed = deployment(scenario, name, [*_stand_ins(found), *notes])
    made = {"sagemaker.json": sagemaker_json(deployed), "cloudformation.json": cloudformation_json(deployed),
            "terraform.tf.json": terraform_json(deployed)}
    written = [_write(folder / file, json.dumps(content, indent=2) + "\n") for file, content in made.items()]
    live = write_live_serve(scenario, folder, deployed.name)
    own = [str(path.relative_to(folder)) for path in live[1:]]
    return [*written, *live, _write(folder / "README.md", readme(deployed, found, own))]


def _stand_ins(found: References) -> Iterator[str]:
    for where in clairvoyant(found.policies):
        yield f"eviction.{where} knows the future, which no real endpoint can: in live-serve.yaml LRU stands in for it"


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
