"""What a run returns, and how it is kept: series, sketches, request records, residency, cost."""
