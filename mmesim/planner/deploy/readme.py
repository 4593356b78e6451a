"""`README.md` of a folder to deploy from: the ways to do it, what to fill in, what could not be carried over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmesim.planner.deploy.parts import Deployment
from mmesim.scenario.references import References
from mmesim.units import format_duration

SEND = """\
import json
from pathlib import Path
from string import Template

import boto3

values = {
%s
}
for request in json.loads(Path("sagemaker.json").read_text())["requests"]:
    client = boto3.client(request["client"])
    body = json.loads(Template(json.dumps(request["body"])).substitute(values))
    answer = getattr(client, request["operation"])(**body)
    values |= {name: answer[field] for name, field in request.get("keep", {}).items()}
    if "wait" in request:
        client.get_waiter(request["wait"]).wait(EndpointName=body["EndpointName"])
"""
"""Sends the requests of sagemaker.json; ``%s``: a line for each placeholder."""


def readme(deployed: Deployment, found: References, policies: Sequence[str]) -> str:
    """The page. `policies`: names of files of the user's own policies that lie beside it."""
    variant = deployed.config["ProductionVariants"][0]
    scaled = deployed.scaling
    size = f"{scaled.initial} x {variant['InstanceType']}"
    size += "" if scaled.is_fixed else f", scaled between {scaled.least} and {scaled.most}"
    parts = [f"# {deployed.name}", f"A multi-model endpoint on {size}. There are four ways to deploy it: take one.",
             "## To fill in", _table(("placeholder", "what it is"), deployed.placeholders.items()),
             "The models go to `s3://BUCKET/PREFIX/` as `*.tar.gz` files, one Triton model folder in each, with these "
             "settings in their `config.pbtxt`:", _models(found),
             "## On SageMaker with boto3", f"```python\n{_send(deployed)}```",
             "## On SageMaker with CloudFormation", f"```\n{_cloudformation(deployed)}\n```",
             "## On SageMaker with Terraform", f"```\n{_terraform(deployed)}\n```",
             "## On your own Triton servers", _live(policies),
             "## Not deployable on SageMaker", _left_out(deployed), *_notes(deployed)]
    return "\n\n".join(parts) + "\n"


def _send(deployed: Deployment) -> str:
    return SEND % "\n".join(f'    "{name}": "…",' for name in deployed.placeholders)


def _cloudformation(deployed: Deployment) -> str:
    given = " ".join(f"{name}=…" for name in deployed.placeholders if name != "ACCOUNT")
    return (f"aws cloudformation deploy --stack-name {deployed.name} --template-file cloudformation.json \\\n"
            f"    --parameter-overrides {given}")


def _terraform(deployed: Deployment) -> str:
    given = " ".join(f"-var {name.lower()}=…" for name in deployed.placeholders)
    return f"terraform init\nterraform apply {given}"


def _live(policies: Sequence[str]) -> str:
    own = f" Your own policies lie beside it: {', '.join(policies)}." if policies else ""
    return ("```\nmmesim live serve live-serve.yaml --check\nmmesim live serve live-serve.yaml\n```\n\n"
            f"All policies of the plan, as they were simulated.{own}")


def _left_out(deployed: Deployment) -> str:
    if not deployed.left_out:
        return "Nothing: all settings of the plan that SageMaker has a setting for are in the files."
    return "Served by `mmesim live serve`, not by SageMaker:\n\n" + _list(deployed.left_out)


def _notes(deployed: Deployment) -> list[str]:
    return ["## To know", _list(deployed.notes)] if deployed.notes else []


def _models(found: References) -> str:
    """What each group's configuration must say for the plan to hold."""
    rows = []
    for group in found.groups:
        names, delay_s = group.settings.names(), group.value("max_queue_delay")
        shown = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]} ({len(names)})"
        preferred = ", ".join(map(str, group.value("preferred_batch_sizes"))) or "–"
        rows.append((shown, str(group.value("max_batch_size")), preferred, format_duration(delay_s),
                     str(group.value("instance_count"))))
    return _table(("models", "max_batch_size", "preferred_batch_size", "max queue delay", "instance_group count"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
