"""`sagemaker.json`: the requests that make the endpoint, in their order, for boto3 or any other client of AWS."""

from __future__ import annotations

from typing import Any

from mmesim.planner.deploy.parts import Deployment
from mmesim.planner.deploy.scaling import VARIANT, Body, number_of

ABOUT = ("Requests to AWS that make the endpoint, to be sent in this order. Fill in the placeholders first; a "
         "placeholder under `keep` is filled with a field of the answer. README.md has the lines of Python that do it.")


def sagemaker_json(deployed: Deployment) -> dict[str, Any]:
    """The file's content: ``requests`` of {client, operation, body}, some with what to ``wait`` for and to ``keep``."""
    return {"about": ABOUT, "placeholders": deployed.placeholders, "requests": requests(deployed)}


def requests(deployed: Deployment) -> list[dict[str, Any]]:
    """Every request in its order."""
    made = [_request("sagemaker", "create_model", deployed.model),
            _request("sagemaker", "create_endpoint_config", deployed.config),
            {**_request("sagemaker", "create_endpoint", deployed.endpoint), "wait": "endpoint_in_service"}]
    scaled = deployed.scaling
    if scaled.is_fixed:
        return made
    target = scalable_target(deployed.name)
    bounds = {"MinCapacity": scaled.least, "MaxCapacity": scaled.most}
    made.append(_request("application-autoscaling", "register_scalable_target", {**target, **bounds}))
    for policy in scaled.policies:
        request = _request("application-autoscaling", "put_scaling_policy", {**policy, **target})
        made.append({**request, "keep": {f"POLICYARN{number_of(policy)}": "PolicyARN"}})
    made += [_request("cloudwatch", "put_metric_alarm", alarm) for alarm in scaled.alarms]
    return made + [_request("application-autoscaling", "put_scheduled_action", {**action, **target})
                   for action in scaled.actions]


def scalable_target(endpoint: str) -> Body:
    """How Application Auto Scaling calls an endpoint's number of instances."""
    return {"ServiceNamespace": "sagemaker", "ResourceId": f"endpoint/{endpoint}/variant/{VARIANT}",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}


def _request(client: str, operation: str, body: Body) -> dict[str, Any]:
    return {"client": client, "operation": operation, "body": body}
