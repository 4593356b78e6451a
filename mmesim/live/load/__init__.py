"""`mmesim live load`: a scenario's workload, sent to a real endpoint."""
