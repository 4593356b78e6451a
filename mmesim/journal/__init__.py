"""The journal: every event the controller saw and every action it took, to be read, replayed and explained."""
