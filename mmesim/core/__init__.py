"""The control plane: decides what is resident where, and how many instances run. No I/O, no clock, no thread.

Rules of this package: time comes in as ``now_ns``; events (past tense) come in, actions (imperative) go out; numbers
about requests are pulled from the :class:`~mmesim.core.residency.ResidencyTable`, never pushed; randomness comes from
named streams; nothing depends on set order or ``hash()``.
"""
