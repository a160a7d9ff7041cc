"""Actions that are a command, or the command of a tool that they install."""

from __future__ import annotations

import re

from farmgate.importing.account import Part
from farmgate.importing.draft import pattern_of
from farmgate.importing.github.actions.action import Action, Job
from farmgate.importing.shell import quoted


def command(line: str, *take: str) -> Action:
    """An action that is a command; `{key}` is what `with` says of it."""

    def convert(given: Part, job: Job) -> bool:
        values = {key: given.text(key) or "" for key in take}
        job.run(re.sub(r"\{(\w[\w-]*)\}", lambda m: values.get(m[1], m[0]), line).strip())
        return True

    return convert


def lint_go(given: Part, job: Job) -> bool:
    version = given.text("version") or "latest"
    plain = version if version == "latest" or version.startswith("v") else f"v{version}"
    plain = plain if re.fullmatch(r"v[0-9]+\.[0-9]+\.[0-9]+|latest", plain) else "latest"
    more = job.value(given.text("args") or "") or ""
    folder = pattern_of(given.text("working-directory") or "") or "."
    for word in (
        "only-new-issues",
        "skip-cache",
        "skip-pkg-cache",
        "skip-build-cache",
        "skip-go-installation",
        "github-token",
        "install-mode",
        "verify",
    ):
        given.needless(word, "an option of the action itself")
    more_keys = {"image": f"golangci/golangci-lint:{plain}"}
    if folder not in (".", "**"):
        more_keys["working_directory"] = folder
    job.run(f"golangci-lint run {more}".strip(), name="golangci-lint", **more_keys)
    return True


def pnpm(given: Part, job: Job) -> bool:
    version = given.text("version")
    given.take("run_install")
    given.take("package_json_file")
    job.run(f"npm install --global pnpm{f'@{version}' if version else ''}", name="pnpm")
    return True


def install_tool(given: Part, job: Job) -> bool:
    tools = re.split(r"[\s,]+", given.text("tool") or "")
    names = [tool.partition("@")[0] for tool in tools if tool]
    job.run(f"cargo install --locked {' '.join(quoted(name) for name in names)}" if names else "true")
    return bool(names)
