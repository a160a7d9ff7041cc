"""Policies: how an application is taken to its environments, as people write it and as rows keep it. Pure."""

from __future__ import annotations

from farmgate.policy.checks import (
    CanaryCheck,
    Check,
    CommandCheck,
    ContainerCheck,
    HttpCheck,
    LogCheck,
    PersonCheck,
    QueryCheck,
    check_of,
)
from farmgate.policy.groups import Group, parse_group
from farmgate.policy.models import Adaptive, Approvals, LanePolicy, Provenance, Vulnerabilities, Wave
from farmgate.policy.pace import Budget, Freeze, Window
from farmgate.policy.parsing import parse
from farmgate.policy.targets import Target, TargetPolicy
from farmgate.policy.targets.command import CommandTarget
from farmgate.policy.targets.docker import DockerTarget
from farmgate.policy.targets.instances import INSTANCE_LIMIT, InstancesTarget
from farmgate.policy.targets.process import ProcessTarget

__all__ = [
    "INSTANCE_LIMIT",
    "Adaptive",
    "Approvals",
    "Budget",
    "CanaryCheck",
    "Check",
    "CommandCheck",
    "CommandTarget",
    "ContainerCheck",
    "DockerTarget",
    "Freeze",
    "Group",
    "HttpCheck",
    "InstancesTarget",
    "LanePolicy",
    "LogCheck",
    "PersonCheck",
    "ProcessTarget",
    "Provenance",
    "QueryCheck",
    "Target",
    "TargetPolicy",
    "Vulnerabilities",
    "Wave",
    "Window",
    "check_of",
    "parse",
    "parse_group",
]
