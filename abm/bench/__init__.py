"""``abm bench``: how fast the engine is here, in site-updates per second, and where the time goes.

A site-update is one site of the lattice advanced by one fate step, all its sub-steps and the body included. What is
timed starts from the same state every time; start-up, compilation and files are timed apart. Time is taken where
kernels are launched (:mod:`abm.bench.meter`), never in them.
"""
