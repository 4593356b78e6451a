"""Reads what load generators wrote: published tables, Model Analyzer's and Perf Analyzer's files."""

from mmesim.profile.readers.measurements import read_measurements

__all__ = ["read_measurements"]
