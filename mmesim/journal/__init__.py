"""The journal: every event the controller saw and every action it took, to be read, replayed and explained."""

from mmesim.journal.read import JournalReader, Step, open_journal
from mmesim.journal.record import JournalWriter
from mmesim.journal.text import SCHEMA

__all__ = ["SCHEMA", "JournalReader", "JournalWriter", "Step", "open_journal"]
