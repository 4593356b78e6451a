"""Reads what load generators wrote: published tables, Model Analyzer's and Perf Analyzer's files."""

from mmesim.profile.readers.files import Imported, read_points
from mmesim.profile.readers.given import Given
from mmesim.profile.readers.measurements import read_measurements, write_measurements

__all__ = ["Given", "Imported", "read_measurements", "read_points", "write_measurements"]
