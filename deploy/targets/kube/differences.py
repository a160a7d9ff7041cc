"""What an apply would change, as a diff that people read. Pure.

Rules:
1. Left is what is there, right is what the cluster itself says an apply would leave (a server-side dry run): defaults
   and webhooks are on both sides, so only what differs is shown.
2. What the cluster writes itself (status, versions, times, managed fields) and our own marks are left out.
3. A Secret's values are never shown: only that one differs, by a short digest that both sides of one diff share.
4. Bounded: a diff that is too long says how much is left out.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import yaml

from deploy.targets.kube.objects import ROLLOUT, Object, Ref

LINES_LIMIT: Final = 400
_META: Final = (
    "managedFields",
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "generation",
    "selfLink",
    "deletionTimestamp",
)
_NOISE: Final = (
    ROLLOUT,
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "kubectl.kubernetes.io/last-applied-configuration",  # of a Secret it would hold the values
)


def difference(known: Ref, live: Object | None, wanted: Object | None, salt: str) -> str:
    """A unified diff; empty if nothing differs. `salt` keeps a Secret's digests from being looked up elsewhere."""
    left, right = _lines(live, salt), _lines(wanted, salt)
    if left == right:
        return ""
    lines = list(difflib.unified_diff(left, right, f"live {known}", f"released {known}", n=3, lineterm=""))
    if len(lines) > LINES_LIMIT:
        lines = [*lines[:LINES_LIMIT], f"... {len(lines) - LINES_LIMIT} more lines"]
    return "\n".join(lines)


def plain(item: Object, salt: str) -> Object:
    """An object as people mean it."""
    meta = {key: value for key, value in item.get("metadata", {}).items() if key not in _META}
    kept_notes = {key: value for key, value in (meta.get("annotations") or {}).items() if key not in _NOISE}
    meta.pop("annotations", None)
    if kept_notes:
        meta["annotations"] = kept_notes
    kept = {**{key: value for key, value in item.items() if key != "status"}, "metadata": meta}
    if item.get("kind") == "Secret":
        for key in ("data", "stringData"):
            if isinstance(kept.get(key), Mapping):
                kept[key] = {name: _sealed(value, salt) for name, value in kept[key].items()}
    return kept


def _sealed(value: Any, salt: str) -> str:
    return f"(secret, {hashlib.sha256(f'{salt}{json.dumps(value)}'.encode()).hexdigest()[:8]})"


def _lines(item: Object | None, salt: str) -> list[str]:
    if item is None:
        return []
    return yaml.safe_dump(plain(item, salt), sort_keys=True, allow_unicode=True, width=10_000).splitlines()
