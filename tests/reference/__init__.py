"""An independent data plane in plain Python objects, and what drives two planes side by side.

It was written from :mod:`mmesim.dataplane.api` alone, to be read and to disagree with the kernel wherever one
of the two is wrong. It knows nothing of arrays of state: invocations, copies, stations and users are objects, time
is a heap.
"""
