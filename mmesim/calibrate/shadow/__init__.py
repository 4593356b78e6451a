"""Shadow: what other policies would have decided, and saved, on the requests of a live endpoint."""
