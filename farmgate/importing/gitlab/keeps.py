"""What a job keeps: artifacts, reports, caches.

Rules:
1. A path that leaves the workspace is left; a folder is kept with all that is in it.
2. A cache is taken before the steps and kept after them; its key is what variables do not say, and its files.

Follows "CI/CD YAML syntax reference" (`artifacts`, `cache`) of GitLab's documentation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from farmgate.documents import as_written
from farmgate.importing import caches
from farmgate.importing.account import Part, flat
from farmgate.importing.draft import Draft, duration_of, folder_patterns, pattern_of
from farmgate.importing.gitlab.variables import put_in, without
from farmgate.importing.shell import summary

if TYPE_CHECKING:
    from farmgate.importing.gitlab.jobs import JobReader

_REPORTS: Final = {"junit": "junit", "cyclonedx": "cyclonedx", "cobertura": "cobertura"}
_UNITS: Final = {
    60: ("m", "min", "minute"),
    1: ("s", "sec", "second"),
    3600: ("h", "hr", "hour"),
    86_400: ("d", "day"),
    604_800: ("w", "week"),
    2_592_000: ("mo", "month"),
    31_536_000: ("y", "yr", "year"),
}
_SECONDS: Final = {unit: seconds for seconds, units in _UNITS.items() for unit in units}


def keeps(job: JobReader) -> None:
    """Artifacts, reports and caches of a job."""
    artifacts = job.part.part("artifacts")
    if artifacts is not None:
        _artifacts(artifacts, job)
    for at, one in job.part.listed("cache"):
        cache = job.part.at_part(at, one)
        if cache is not None:
            _cache(cache, job.draft)


def _artifacts(artifacts: Part, job: JobReader) -> None:
    known = {**job.pipeline.drafts.environment, **job.draft.environment}
    paths = []
    for text in artifacts.texts("paths"):
        pattern = pattern_of(put_in(text, known))
        if pattern:
            paths += folder_patterns(pattern)
        else:
            artifacts.left("paths", f"artifact {summary(text)}", "a pattern in the workspace")
    when = {"on_failure": "failed", "always": "always"}.get(artifacts.text("when") or "", "")
    job.draft.artifact(paths, keep=_span(artifacts.text("expire_in")), when=when)
    for key in ("exclude", "untracked"):
        if key in artifacts:
            artifacts.left(key, f"{key} of artifacts", "name what is kept in 'paths'")
    for key in ("name", "expose_as", "public", "access"):
        artifacts.needless(key, "artifacts are kept by their content")
    reports = artifacts.part("reports")
    for key in reports.names() if reports is not None else ():
        if reports is not None:
            _report(reports, key, job.draft)
    artifacts.close("artifacts")


def _report(reports: Part, key: str, draft: Draft) -> None:
    value = reports.take(key)
    if key == "coverage_report" and isinstance(value, dict):
        path = pattern_of(as_written(value.get("path")) or "")
        if path:
            draft.report("cobertura", [path])
    elif key in _REPORTS:
        draft.report(_REPORTS[key], _patterns(value))
    else:
        remedy = "keep it as an artifact" if key == "dotenv" else "as SARIF: 'reports: {sarif: ...}'"
        reports.left(key, f"report {key}", remedy)


def _cache(cache: Part, draft: Draft) -> None:
    """Rule 2."""
    paths = caches.paths(cache, "paths")
    key = cache.take("key")
    files = _patterns(key.get("files")) if isinstance(key, dict) else []
    named = as_written(key.get("prefix")) if isinstance(key, dict) else as_written(key)
    named = re.sub(r"\$(?:CI_JOB_NAME(?:_SLUG)?\b|\{CI_JOB_NAME(?:_SLUG)?\})", draft.name, named or "")
    if cache.flag("untracked"):
        cache.look("untracked", "only 'paths' are cached, not every file that git does not know", "name them")
    for word in ("policy", "when", "unprotect", "fallback_keys"):
        cache.needless(word, "a cache is taken before the steps and kept after them")
    cache.close("cache")
    draft.cache(without(named) or "cache", paths, files)


def _patterns(value: Any) -> list[str]:
    return [found for _, one in flat(value, ()) if (found := pattern_of(as_written(one) or ""))]


def _span(text: str | None) -> str:
    """`1 week` is 7d."""
    if not text or text.lower() == "never":
        return ""
    seconds = 0
    for number, unit in re.findall(r"([0-9]+)\s*([a-z]+)", text.lower()):
        seconds += int(number) * _SECONDS.get(unit, _SECONDS.get(unit.rstrip("s"), 0))
    if seconds >= 86400:
        return f"{min(seconds // 86400, 3650)}d"
    return duration_of(seconds) if seconds else ""
