"""Model profiles: what a model costs in time and memory on a device, and how each number is known."""

from mmesim.profile.describe import describe
from mmesim.profile.model import ModelProfile, Origin
from mmesim.profile.store import load_profile, profile_names, profile_path, read_profile

__all__ = ["ModelProfile", "Origin", "describe", "load_profile", "profile_names", "profile_path",
           "read_profile"]
