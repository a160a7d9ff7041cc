"""Policies: how an application is taken to its environments, as people write it and as rows keep it. Pure."""

from __future__ import annotations

from farmgate.policy.models import (
    INSTANCE_LIMIT,
    Check,
    CommandTarget,
    DockerTarget,
    InstancesTarget,
    LanePolicy,
    ProcessTarget,
    Target,
    Wave,
)
from farmgate.policy.parsing import parse

__all__ = [
    "INSTANCE_LIMIT",
    "Check",
    "CommandTarget",
    "DockerTarget",
    "InstancesTarget",
    "LanePolicy",
    "ProcessTarget",
    "Target",
    "Wave",
    "parse",
]
