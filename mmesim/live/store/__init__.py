"""Where the models of live mode come from, and how they get to a server's disk."""

from __future__ import annotations

from mmesim.live.store.names import Changes, Listing, changes
from mmesim.live.store.settings import S3Settings, StoreSettings, UnpackSettings
from mmesim.live.store.shelf import Manifest
from mmesim.live.store.store import ArchiveStore, Meters, Progress, open_store

__all__ = ["ArchiveStore", "Changes", "Listing", "Manifest", "Meters", "Progress", "S3Settings", "StoreSettings",
           "UnpackSettings", "changes", "open_store"]
