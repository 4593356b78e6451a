"""SageMaker instance types and prices, each value with its mark, source and date."""

from mmesim.catalog.catalog import Catalog, load_catalog
from mmesim.catalog.instance import InstanceType, Mark

__all__ = ["Catalog", "InstanceType", "Mark", "load_catalog"]
