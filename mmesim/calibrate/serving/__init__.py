"""From operating points to a believed prediction: a model's timing is fitted to a few points and judged on others.

:mod:`curve` makes S(b) of points taken with one request in flight, :mod:`timing` holds what else there is to know of
one model behind a Triton server, :mod:`loop` says by the simulator's data plane what a closed-loop client would measure
of it, :mod:`fit` searches the timing that explains the given points, :mod:`validate` judges it on points that were not
given, :mod:`scaling` is the rule from one GPU to another, and :mod:`written` makes a profile of a fit.
"""
