"""Instance types to choose from, and their prices."""

from __future__ import annotations

from collections.abc import Sequence

from mmesim.catalog import InstanceType, load_catalog
from mmesim.errors import InputError
from mmesim.scenario.schema import Scenario


def in_order(types: Sequence[InstanceType] | None, scenario: Scenario) -> list[InstanceType]:
    """`types`, or all that are possible, cheapest first."""
    return priced_types(scenario) if types is None else sorted(types, key=lambda kind: (price(kind), kind.name))


def priced_types(scenario: Scenario) -> list[InstanceType]:
    """Types of the catalog, the scenario's own included, with the scenario's GPU (or as it without one) and a price:
    those that its profiles hold for. Cheapest first."""
    catalog = load_catalog(scenario.instance_types)
    device, found = catalog[scenario.endpoint.instance_type].gpu, []
    for name in catalog:
        try:
            kind = catalog[name]
        except InputError:
            continue  # too little is published about it
        if kind.gpu == device and kind.price_per_hour is not None:
            found.append(kind)
    return sorted(found, key=lambda kind: (price(kind), kind.name))


def price(kind: InstanceType) -> float:
    """Dollars per hour of a type that has a price."""
    assert kind.price_per_hour is not None, f"{kind.name} has no price"
    return kind.price_per_hour
