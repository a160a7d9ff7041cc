"""Actions that move files: the checkout, caches, artifacts, test results."""

from __future__ import annotations

import re

from farmgate.importing.account import Kind, Part
from farmgate.importing.draft import cache_path, folder_patterns, pattern_of
from farmgate.importing.github.actions.action import Job, take_all
from farmgate.importing.github.actions.languages import CACHES


def checkout(given: Part, job: Job) -> bool:
    good = True
    for key, why in (
        ("fetch-depth", "the whole history is there"),
        ("persist-credentials", "no credential is in the workspace"),
        ("token", "the checkout is there already"),
        ("clean", "the workspace is fresh"),
        ("fetch-tags", "all tags are there"),
        ("show-progress", "the checkout is there already"),
        ("ssh-key", "the checkout is there already"),
        ("set-safe-directory", "the workspace is the job's own"),
    ):
        given.needless(key, why)
    if given.text("submodules") not in (None, "false"):
        job.run("git submodule update --init --recursive", name="Submodules")
    for key, remedy in (
        ("repository", "clone it in a step"),
        ("ref", "a run is of one commit"),
        ("path", "the workspace is the repository"),
        ("lfs", "git lfs pull in a step"),
        ("sparse-checkout", "all files are there"),
        ("filter", "all files are there"),
    ):
        value = given.text(key)
        if value in (None, "", "false"):
            continue
        if key == "ref" and re.search(r"head\.(?:sha|ref)|github\.(?:sha|ref|head_ref)", value or ""):
            given.needless(key, "a run is of the commit that was pushed")
            continue
        given.left(key, f"checkout with {key}", remedy)
        good = good and key not in ("repository", "ref")
    return good


def cache(given: Part, job: Job) -> bool:
    paths, good = [], True
    for line in (given.text("path") or "").splitlines():
        wanted = job.value(line.strip()) if line.strip() and not line.strip().startswith("!") else ""
        path = cache_path(wanted) if wanted else None
        if path:
            paths.append(path)
        elif line.strip():
            given.left("path", f"cache of {line.strip()[:80]}", "a path in the workspace, or below the home as ~/...")
            good = False
    key = given.text("key") or "cache"
    files = [name for group in re.findall(r"hashFiles\(([^)]*)\)", key) for name in re.findall(r"'([^']*)'", group)]
    plain = re.sub(r"\$\{\{[^}]*(?:hashFiles|github\.)[^}]*\}\}", "", key)
    plain = re.sub(r"\$\{\{\s*runner\.os\s*\}\}", "linux", plain)
    named = job.value(plain)
    if named is None:
        named = re.sub(r"\$\{\{.*?\}\}", "", plain)
    named = re.sub(r"-{2,}", "-", named).strip("-_ ") or "cache"
    given.needless("restore-keys", "the newest cache of the same name is taken where none fits")
    for word in ("enableCrossOsArchive", "fail-on-cache-miss", "lookup-only", "upload-chunk-size", "save-always"):
        given.needless(word, "an option of GitHub's own")
    patterns = [found for name in files if (found := pattern_of(name))]
    job.draft.cache(named, paths, patterns)
    return good


def upload(given: Part, job: Job) -> bool:
    paths, good = [], True
    given.take("name")
    for line in (given.text("path") or "").splitlines():
        text = line.strip()
        wanted = job.value(text) if text else ""
        pattern = pattern_of(wanted) if wanted else None
        if pattern:
            paths += folder_patterns(pattern)
        elif text:
            given.left("path", f"artifact {text[:80]}", "a pattern in the workspace")
            good = False
    days = given.text("retention-days")
    keep = f"{days}d" if days and days.isdigit() and int(days) else ""
    optional = given.text("if-no-files-found") in (None, "warn", "ignore")
    job.draft.artifact(paths, keep=keep, optional=optional)
    for word in ("compression-level", "overwrite", "include-hidden-files"):
        given.needless(word, "artifacts are kept by their content")
    return good


def download(given: Part, job: Job) -> bool:
    name = given.text("name") or given.text("pattern") or ""
    path = given.text("path")
    for word in ("merge-multiple", "github-token", "run-id"):
        given.needless(word, "artifacts come with 'needs'")
    producers = job.producer(name)
    for one in producers:
        if one in job.draft.needs or one != job.draft.name:
            job.draft.needs[one] = True
    if path and path not in (".", "./"):
        given.look("path", f"the artifacts are where they were made, not in {path[:60]}", "move them in a step")
    if not producers:
        given.say(
            Kind.LEFT,
            given.at,
            f"artifact {name[:60]!r}: no job of these files uploads it",
            "write 'needs' by hand",
            key=True,
        )
        return False
    return True


def test_report(given: Part, job: Job) -> bool:
    words = [given.text(key) or "" for key in ("files", "path", "report_paths", "junit_files", "test-results", "paths")]
    patterns = [
        found for word in words for one in re.split(r"[\n,]+", word) if one.strip() and (found := pattern_of(one))
    ]
    take_all(given)
    if not patterns:
        given.say(Kind.LEFT, given.at, "test results without a path", "name them in 'reports: {junit: ...}'", key=True)
        return False
    job.draft.report("junit", patterns)
    return True


def rust_cache(given: Part, job: Job) -> bool:
    take_all(given)
    job.draft.cache("cargo", ["target"], ["**/Cargo.lock", "**/Cargo.toml"])
    return True


def gradle(given: Part, job: Job) -> bool:
    arguments = given.text("arguments")
    take_all(given)
    job.draft.cache(*CACHES["gradle"])
    if arguments:
        job.run(f"./gradlew {arguments}")
    return True
