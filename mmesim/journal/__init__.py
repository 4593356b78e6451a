"""The journal: every event the controller saw and every action it took, to be read, replayed and explained."""

from mmesim.journal.entries import Arrived, Departed, Entry, Lost, Refused, Sent, Step
from mmesim.journal.live import LiveJournal
from mmesim.journal.read import JournalReader, open_journal
from mmesim.journal.record import JournalWriter
from mmesim.journal.text import SCHEMA

__all__ = ["SCHEMA", "Arrived", "Departed", "Entry", "JournalReader", "JournalWriter", "LiveJournal", "Lost",
           "Refused", "Sent", "Step", "open_journal"]
