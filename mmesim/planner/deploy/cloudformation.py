"""`cloudformation.json`: a template that makes the endpoint, its scaling policies and their alarms as one stack.

Resource types and properties: AWS::SageMaker::Model, EndpointConfig and Endpoint, AWS::ApplicationAutoScaling::
ScalableTarget and ScalingPolicy, AWS::CloudWatch::Alarm. Model and endpoint configuration have no names of their own,
so that an update can replace them.
"""

from __future__ import annotations

import re
from typing import Any

from mmesim.planner.deploy.parts import Deployment
from mmesim.planner.deploy.sagemaker import scalable_target
from mmesim.planner.deploy.scaling import Body, Scaling, number_of

ABOUT = "A multi-model endpoint on SageMaker with its autoscaling. Fill in the parameters; README.md tells how."
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def cloudformation_json(deployed: Deployment) -> dict[str, Any]:
    """The template."""
    parameters = {name: {"Type": "String", "Description": what} for name, what in deployed.placeholders.items()
                  if name != "ACCOUNT"}
    return {"AWSTemplateFormatVersion": "2010-09-09", "Description": ABOUT, "Parameters": parameters,
            "Resources": {**_endpoint(deployed), **_scaling(deployed)},
            "Outputs": {"EndpointName": {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}}}}


def _endpoint(deployed: Deployment) -> Body:
    model = {name: value for name, value in deployed.model.items() if name != "ModelName"}
    variants = [{**variant, "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]}}
                for variant in deployed.config["ProductionVariants"]]
    config_name = {"Fn::GetAtt": ["EndpointConfig", "EndpointConfigName"]}
    return {"Model": _resource("SageMaker::Model", model),
            "EndpointConfig": _resource("SageMaker::EndpointConfig", {"ProductionVariants": variants}),
            "Endpoint": _resource("SageMaker::Endpoint", {"EndpointName": deployed.name,
                                                          "EndpointConfigName": config_name})}


def _scaling(deployed: Deployment) -> Body:
    scaled = deployed.scaling
    if scaled.is_fixed:
        return {}
    target = {**scalable_target(deployed.name), "MinCapacity": scaled.least, "MaxCapacity": scaled.most}
    if scaled.actions:
        target["ScheduledActions"] = list(scaled.actions)
    resources = {"ScalableTarget": {**_resource("ApplicationAutoScaling::ScalableTarget", target),
                                    "DependsOn": "Endpoint"}}
    return {**resources, **_policies(scaled), **_alarms(scaled)}


def _policies(scaled: Scaling) -> Body:
    return {f"Policy{number_of(policy)}": _resource(
        "ApplicationAutoScaling::ScalingPolicy", {**policy, "ScalingTargetId": {"Ref": "ScalableTarget"}})
        for policy in scaled.policies}


def _alarms(scaled: Scaling) -> Body:
    return {f"Alarm{n}": _resource("CloudWatch::Alarm", alarm) for n, alarm in enumerate(scaled.alarms, 1)}


def _resource(kind: str, properties: Body) -> Body:
    return {"Type": f"AWS::{kind}", "Properties": _filled(properties)}


def _filled(value: Any) -> Any:
    """With the template's own references in place of ``${NAME}``."""
    if isinstance(value, dict):
        return {name: _filled(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item) for item in value]
    return _reference(value) if isinstance(value, str) and "${" in value else value


def _reference(text: str) -> Body:
    inner = _PLACEHOLDER.sub(lambda found: f"${{{_logical(found[1])}}}", text)
    whole = _PLACEHOLDER.fullmatch(text)
    return {"Ref": _logical(whole[1])} if whole else {"Fn::Sub": inner}


def _logical(name: str) -> str:
    """The template's name for a placeholder: a policy's Ref is its ARN."""
    return "AWS::AccountId" if name == "ACCOUNT" else name.replace("POLICYARN", "Policy")
