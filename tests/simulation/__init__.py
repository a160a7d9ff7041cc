"""Delivery on a virtual clock, without builds: anything in any order, and all that must hold after each step.

python -m tests.simulation --seeds 10000       random stories; a seed that fails is cut down to a short one
python -m tests.simulation --small-worlds      every way that a small world can go
"""
