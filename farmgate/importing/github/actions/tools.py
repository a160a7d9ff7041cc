"""Actions that are a command, or the command of a tool that they install."""

from __future__ import annotations

import re
from typing import Final

from farmgate.importing.account import Part
from farmgate.importing.draft import pattern_of
from farmgate.importing.github.actions.action import Action, Job
from farmgate.importing.shell import quoted

_CRATES: Final = {  # what is called otherwise than its crate, and what is a crate without `cargo-` in front
    "nextest": "cargo-nextest",
    "typos": "typos-cli",
    "cross": "cross",
    "just": "just",
    "mdbook": "mdbook",
    "wasm-pack": "wasm-pack",
    "wasm-bindgen": "wasm-bindgen-cli",
    "grcov": "grcov",
    "trunk": "trunk",
    "sccache": "sccache",
    "release-plz": "release-plz",
}


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


def cargo(given: Part, job: Job) -> bool:
    """`cargo COMMAND ARGS`, with a toolchain of its own where one is named."""
    toolchain, word = given.text("toolchain"), given.text("command") or ""
    arguments = given.text("args") or ""
    cross = given.text("use-cross")
    if cross and cross.lower() != "false":
        given.left("use-cross", "cross builds in containers of its own", "'image' of the target, or rustup target add")
        return False
    job.run(f"cargo {f'+{toolchain} ' if toolchain else ''}{word} {arguments}".strip())
    return True


def cargo_install(given: Part, job: Job) -> bool:
    """A crate, at a version where one is named."""
    crate, version = given.text("crate") or "", given.text("version")
    asked = f" --version {quoted(version)}" if version and version != "latest" else ""
    job.run(f"cargo install --locked {crate}{asked}")
    return bool(crate)


def semver_checks(given: Part, job: Job) -> bool:
    """`cargo semver-checks`, of one package or all."""
    package, exclude = given.text("package"), given.text("exclude")
    more = f" --package {quoted(package)}" if package else ""
    more += f" --workspace --exclude {quoted(exclude)}" if exclude else ""
    job.run(f"cargo install --locked cargo-semver-checks\ncargo semver-checks{more}", name="cargo semver-checks")
    return True


def install_tool(given: Part, job: Job) -> bool:
    """Tools that are crates, each by its own name; what cargo cannot install is left."""
    tools = [tool for tool in re.split(r"[\s,]+", given.text("tool") or "") if tool]
    lines = []
    for tool in tools:
        name, _, version = tool.partition("@")
        crate = _CRATES.get(name, name if name.startswith("cargo-") else None)
        exact = re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version)
        if crate is None or (version not in ("", "latest") and not exact):
            given.left("tool", f"tool {tool[:60]}", "install it in a step, or use an image that has it")
            return False
        lines.append(f"cargo install --locked {crate}{f' --version {version}' if exact else ''}")
    job.run("\n".join(lines))
    return bool(lines)
