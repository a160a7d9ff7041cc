"""What is said: SLSA provenance (v1) of candidates, and release records of rollouts, as in-toto statements.

Rules:
1. The subjects are the artifacts by digest, and the commit: a statement of a candidate without artifacts has one too.
2. An address never carries a user or a password. What is not known by digest is no resolved dependency.
3. A candidate is what was said of it if the commit and every artifact have the digests of the statement, none is
   missing and none is new.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

STATEMENT: Final = "https://in-toto.io/Statement/v1"
SLSA: Final = "https://slsa.dev/provenance/v1"
RELEASE: Final = "urn:farmgate:release:v1"
BUILD: Final = "urn:farmgate:build:v1"
COMMIT: Final = "commit"
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})$")


def plain_address(url: str) -> str:
    """Rule 2."""
    parts = urlsplit(url)
    if not parts.hostname:
        return url
    host = parts.hostname + (f":{parts.port}" if parts.port else "")
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def subjects(artifacts: Mapping[str, str], sha: str) -> list[dict[str, Any]]:
    """Rule 1."""
    found = [
        {"name": name, "digest": {"sha256": digest[1]}}
        for name, value in sorted(artifacts.items())
        if (digest := _DIGEST.search(value)) is not None
    ]
    return [*found, {"name": COMMIT, "digest": {"gitCommit": sha}}]


def provenance(
    *,
    artifacts: Mapping[str, str],
    sha: str,
    url: str,
    ref: str,
    builder: str,
    version: str,
    invocation: str,
    parameters: Mapping[str, Any],
    jobs: Iterable[Mapping[str, Any]],
    byproducts: Mapping[str, str],
    started: datetime | None,
    finished: datetime | None,
) -> dict[str, Any]:
    """SLSA provenance of a candidate that was built here. `byproducts`: name and sha256."""
    source = {"uri": f"git+{plain_address(url)}@{ref}", "digest": {"gitCommit": sha}}
    metadata = {"invocationId": invocation, "startedOn": _time(started), "finishedOn": _time(finished)}
    return {
        "_type": STATEMENT,
        "subject": subjects(artifacts, sha),
        "predicateType": SLSA,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD,
                "externalParameters": {"source": source["uri"], "ref": ref, **parameters},
                "internalParameters": {"jobs": list(jobs)},
                "resolvedDependencies": [source],
            },
            "runDetails": {
                "builder": {"id": builder, "version": {"farmgate": version}},
                "metadata": {name: value for name, value in metadata.items() if value},
                "byproducts": [{"name": n, "digest": {"sha256": d}} for n, d in sorted(byproducts.items())],
            },
        },
    }


def release(
    *, artifacts: Mapping[str, str], sha: str, config: Mapping[str, Any], said: Mapping[str, Any]
) -> dict[str, Any]:
    """The record of what a rollout left live. `said`: lane, rollout, from and to, who, when, approvals."""
    return {
        "_type": STATEMENT,
        "subject": subjects(artifacts, sha),
        "predicateType": RELEASE,
        "predicate": {**said, "configuration": {"digest": {"sha256": digest_of(config)}}},
    }


def digest_of(value: Any) -> str:
    """Of JSON, in its one canonical form: keys sorted, no blanks."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def against(statement: Mapping[str, Any], artifacts: Mapping[str, str], sha: str, *, by_name: bool = True) -> str:
    """Rule 3: what a candidate has that the statement does not say, in words; empty: it is what was said.

    `by_name`: of statements of other systems only the digests count.
    """
    if statement.get("_type") not in (STATEMENT, "https://in-toto.io/Statement/v0.1"):
        return "it is no in-toto statement"
    if statement.get("predicateType") not in (SLSA, "https://slsa.dev/provenance/v0.2"):
        return f"it says {str(statement.get('predicateType'))[:60]!r}, and not where something comes from (SLSA)"
    told = list(_told(statement))
    if by_name:
        said = {(name, kind, digest) for name, kind, digest in told}
        now = {(row["name"], *next(iter(row["digest"].items()))) for row in subjects(artifacts, sha)}
        changed = sorted({name for name, _, _ in said ^ now})
        return f"{_names(changed)} {_are(changed)} not what was signed" if changed else ""
    digests = {digest for _, kind, digest in told if kind in ("sha256", "gitCommit", "sha1")}
    missing = sorted(name for name, value in artifacts.items() if not _in(value, digests))
    if missing:
        return f"{_names(missing)} {_are(missing)} not among its subjects"
    if not artifacts and sha not in digests and sha not in _sources(statement):
        return f"it does not speak of commit {sha[:12]}"
    return ""


def _told(statement: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    rows = statement.get("subject")
    for row in rows if isinstance(rows, list) else ():
        digests = row.get("digest") if isinstance(row, dict) else None
        for kind, digest in digests.items() if isinstance(digests, dict) else ():
            yield str(row.get("name", "")), str(kind), str(digest)


def _sources(statement: Mapping[str, Any]) -> set[str]:
    """The commits that it names as what was built."""
    predicate = statement.get("predicate")
    definition = predicate.get("buildDefinition") if isinstance(predicate, dict) else None
    rows = definition.get("resolvedDependencies") if isinstance(definition, dict) else None
    return {digest for _, kind, digest in _told({"subject": rows}) if kind in ("gitCommit", "sha1")}


def _in(value: str, digests: set[str]) -> bool:
    found = _DIGEST.search(value)
    return found is not None and found[1] in digests


def _names(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else None
