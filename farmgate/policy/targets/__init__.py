"""Targets in policies: one module for each kind, found by the registry. Pure."""

from __future__ import annotations

from farmgate.policy.targets.base import EnvironmentFile, Kind, TargetFile, TargetPolicy, UnknownTarget, with_digests
from farmgate.policy.targets.registry import BUILT_IN, GROUP, Target, from_row, kind, names

__all__ = [
    "BUILT_IN",
    "GROUP",
    "EnvironmentFile",
    "Kind",
    "Target",
    "TargetFile",
    "TargetPolicy",
    "UnknownTarget",
    "from_row",
    "kind",
    "names",
    "with_digests",
]
