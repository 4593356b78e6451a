"""The world in SimPy, and the engine that joins it to the data plane. The only place that imports simpy."""
