"""Triton servers from the control plane's side: two dialects of model control, health, memory and levels."""

from mmesim.live.servers.connect import connect
from mmesim.live.servers.sagemaker import SageMakerAdapter
from mmesim.live.servers.triton import TritonAdapter
from mmesim.live.servers.watch import until_down, until_up

__all__ = ["SageMakerAdapter", "TritonAdapter", "connect", "until_down", "until_up"]
