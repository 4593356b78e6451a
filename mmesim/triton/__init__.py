"""A real Triton server, Perf Analyzer and Model Analyzer: found or assembled, started, spoken to, and ended."""

from mmesim.triton.client import TritonClient, TritonError
from mmesim.triton.example import write_example
from mmesim.triton.server import TritonServer, running_server
from mmesim.triton.tools import Tools, find_tools

__all__ = ["Tools", "TritonClient", "TritonError", "TritonServer", "find_tools", "running_server", "write_example"]
