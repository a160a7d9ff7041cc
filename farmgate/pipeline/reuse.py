"""What a job's result depends on, as far as its pipeline and its commit tell. Pure.

Rules:
1. Only a job that names its `inputs` says what it depends on. Its result stands for another with the same image,
   commands, shell, environment, services, artifact and report patterns, pool, and the same content of its inputs.
2. What only decides when or how long it runs (needs, conditions, priority, limits, tries, caches) is no part of it.
3. Never reused: jobs that deliver, that ask a person, that use a secret or an identity (their values are not known
   here), that build images or emit jobs (their outcome is more than a log and files), that run although something
   failed, and those that say `reuse: false`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

from farmgate.pipeline.models import JobSpec

VERSION: Final = 1
"""Grows when what a job sees changes in a way that its specification does not tell."""


def may_be_reused(spec: JobSpec) -> bool:
    """Rules 1 and 3."""
    return bool(
        spec.inputs
        and spec.reuse
        and spec.steps
        and spec.deploys_to is None
        and spec.approve is None
        and spec.emits is None
        and not (spec.secrets or spec.identity or spec.builds)
        and spec.when.result == "passed"
    )


def images_of(spec: JobSpec) -> tuple[str, ...]:
    """The images that it runs in; an empty name is the node's own."""
    beside = {service.image for service in spec.services} | {step.image for step in spec.steps if step.image}
    return tuple(sorted({spec.image or ""} | beside))


def hash_of_inputs(spec: JobSpec, entries: Iterable[tuple[str, str, str]]) -> str:
    """Of rules 1 and 2, with path, mode and hash of each entry of the tree that `inputs` takes."""
    told: dict[str, Any] = spec.model_dump(mode="json")
    parts = ("image", "environment", "services", "matrix", "shard", "reports", "labels", "pool", "inputs", "fetch")
    seen = {name: told[name] for name in parts}
    seen["steps"] = [{key: value for key, value in step.items() if key != "name"} for step in told["steps"]]
    seen["artifacts"] = [{"paths": one["paths"], "optional": one["optional"]} for one in told["artifacts"]]
    return digest("inputs", VERSION, seen, sorted(entries))


def digest(*parts: Any) -> str:
    """A hash of values that JSON can tell."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
