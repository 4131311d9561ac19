"""NumPy twins of the kernels: same names, same arguments, the oracle on any disagreement.

Twins import only the constants, streams and random numbers of the package.
"""
