"""A history in memory, for simulations: the same answers as `Mirror`, without git. Kept true by one contract suite."""

from __future__ import annotations
