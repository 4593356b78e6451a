"""A real Triton server, Perf Analyzer and Model Analyzer: found or assembled, started, spoken to, and ended."""

from mmesim.calibrate.triton.client import TritonClient, TritonError
from mmesim.calibrate.triton.example import write_example
from mmesim.calibrate.triton.server import TritonServer, running_server
from mmesim.calibrate.triton.tools import Tools, find_tools

__all__ = ["Tools", "TritonClient", "TritonError", "TritonServer", "find_tools", "running_server", "write_example"]
