"""`terraform.tf.json`: the endpoint and its autoscaling as resources of Terraform's AWS provider, in JSON syntax.

Arguments are those of hashicorp/aws 6 (documentation of each resource): the API's own names in snake case, with the
exceptions in `_RENAMED`. Model and endpoint configuration get names from Terraform, so that a changed one can be
made before the old one goes.
"""

from __future__ import annotations

import re
from typing import Any

from mmesim.planner.deploy.parts import Deployment
from mmesim.planner.deploy.sagemaker import scalable_target
from mmesim.planner.deploy.scaling import Body, number_of

ABOUT = "A multi-model endpoint on SageMaker with its autoscaling. Fill in the variables; README.md tells how."
_RENAMED = {"StepAdjustments": "step_adjustment", "PolicyName": "name", "ScheduledActionName": "name"}
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def terraform_json(deployed: Deployment) -> dict[str, Any]:
    """The configuration."""
    variables = {name.lower(): {"type": "string", "description": what} for name, what in deployed.placeholders.items()}
    return {"//": ABOUT, "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws", "version": ">= 6.0"}}},
            "variable": variables, "resource": {**_endpoint(deployed), **_scaling(deployed)},
            "output": {"endpoint_name": {"value": "${aws_sagemaker_endpoint.main.name}"}}}


def _endpoint(deployed: Deployment) -> Body:
    model = {name: value for name, value in deployed.model.items() if name != "ModelName"}
    variants = [{**variant, "ModelName": "${aws_sagemaker_model.main.name}"}
                for variant in deployed.config["ProductionVariants"]]
    config = {**_arguments({"ProductionVariants": variants}), "lifecycle": {"create_before_destroy": True}}
    endpoint = {"name": deployed.name, "endpoint_config_name": "${aws_sagemaker_endpoint_configuration.main.name}"}
    return {"aws_sagemaker_model": {"main": _arguments(model)},
            "aws_sagemaker_endpoint_configuration": {"main": config}, "aws_sagemaker_endpoint": {"main": endpoint}}


def _scaling(deployed: Deployment) -> Body:
    scaled = deployed.scaling
    if scaled.is_fixed:
        return {}
    bounds = {"MinCapacity": scaled.least, "MaxCapacity": scaled.most}
    target = {**_arguments({**scalable_target(deployed.name), **bounds}), "depends_on": ["aws_sagemaker_endpoint.main"]}
    parent = {name: f"${{aws_appautoscaling_target.main.{name}}}"
              for name in ("service_namespace", "resource_id", "scalable_dimension")}
    kinds = {"aws_appautoscaling_target": {"main": target},
             "aws_appautoscaling_policy": {f"policy{number_of(policy)}": {**_arguments(policy), **parent}
                                           for policy in scaled.policies},
             "aws_cloudwatch_metric_alarm": {f"alarm{n}": _alarm(alarm) for n, alarm in enumerate(scaled.alarms, 1)},
             "aws_appautoscaling_scheduled_action": {f"action{n}": {**_arguments(action), **parent}
                                                     for n, action in enumerate(scaled.actions, 1)}}
    return {kind: resources for kind, resources in kinds.items() if resources}


def _alarm(alarm: Body) -> Body:
    """Its dimensions are a map here."""
    return {**_arguments(alarm), "dimensions": {one["Name"]: one["Value"] for one in alarm["Dimensions"]}}


def _arguments(value: Any) -> Any:
    """Names of the API as Terraform's, ``${NAME}`` as its references; environment variables stay as they are."""
    if isinstance(value, dict):
        return {_argument(name): item if name == "Environment" else _arguments(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_arguments(item) for item in value]
    return _PLACEHOLDER.sub(_reference, value) if isinstance(value, str) else value


def _argument(name: str) -> str:
    return _RENAMED.get(name) or _WORD.sub("_", name).lower()


def _reference(found: re.Match[str]) -> str:
    name = found[1].lower()
    policy = name.replace("policyarn", "policy")
    return f"${{aws_appautoscaling_policy.{policy}.arn}}" if policy != name else f"${{var.{name}}}"
