"""The action that builds and pushes images, as one of `builds`."""

from __future__ import annotations

import re

from farmgate.importing.account import Part
from farmgate.importing.draft import pattern_of
from farmgate.importing.github.actions.action import Job


def build_push(given: Part, job: Job) -> bool:
    good = True
    context = given.text("context") or "."
    made: dict[str, object] = {}
    tags = (given.text("tags") or "").replace(",", "\n").split()
    first = tags[0] if tags else ""
    name = re.sub(r"\$\{\{.*?\}\}/?", "", first).rpartition(":")[0] or re.sub(r"\$\{\{.*?\}\}/?", "", first)
    name = "/".join(part for part in name.split("/") if "." not in part and ":" not in part).strip("/-_. ") or "image"
    made["name"] = name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", name) else "image"
    folder = pattern_of(context.rstrip("/") or ".")
    if folder and folder != "**":
        made["context"] = folder
    file = given.text("file")
    dockerfile = pattern_of(file) if file else (f"{folder}/Dockerfile" if folder and folder != "**" else None)
    if dockerfile and dockerfile != "Dockerfile":
        made["dockerfile"] = dockerfile
    if (folder is None and context != ".") or (file and dockerfile is None):
        given.left("context", f"builds {context[:60]}", "a folder of the workspace")
        good = False
    target = given.text("target")
    if target and re.fullmatch(r"[a-z0-9][a-z0-9_-]*", target):
        made["target"] = target
    arguments: dict[str, str] = {}
    for line in (given.text("build-args") or "").splitlines():
        variable, equals, text = line.strip().partition("=")
        value = job.value(text) if equals else None
        if value is not None and re.fullmatch(r"[A-Za-z_]\w*", variable):
            arguments[variable] = value
        elif line.strip():
            given.left("build-args", f"build argument {line.strip()[:60]}", "write it by hand")
            good = False
    if arguments:
        made["arguments"] = arguments
    for word, why in (
        ("push", "pushed to the registry that is configured"),
        ("tags", "an image is known by its digest"),
        ("load", "kept by digest"),
        ("cache-from", "the node keeps its layers"),
        ("cache-to", "the node keeps its layers"),
        ("labels", "known by its digest"),
        ("pull", "the node decides"),
        ("provenance", "Farmgate records where an image comes from"),
        ("builder", "the node's"),
        ("sbom", "see reports.cyclonedx"),
        ("no-cache", "the node decides"),
        ("github-token", "not needed"),
        ("annotations", "known by its digest"),
    ):
        given.needless(word, why)
    platforms = given.text("platforms")
    if platforms and platforms != "linux/amd64":
        given.left("platforms", f"platforms {platforms[:60]}", "images are built for the node's own kind")
        good = False
    for word in ("secrets", "outputs", "build-contexts", "ssh"):
        if word in given:
            good = False
            given.left(word, f"{word} of the build", "write it by hand")
    job.draft.builds.append(made)
    return good
