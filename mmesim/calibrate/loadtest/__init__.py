"""A measured load test, calibrated on its beginning and predicted to its end.

`tables` reads the measurements, `memory` counts the copies that fit, `fit` calibrates the times on the first polls
with runs of the simulator (`endpoint`: the product's own; `generator`, `plane`: the load generator that it is measured
with), `predict` compares the whole ramp, `figure` draws it.
"""
