"""The common actions of GitHub's marketplace: an image, a cache, artifacts, a command, or nothing to do.

Rules:
1. An action is known by its owner and name; its version does not matter for what it does.
2. What an action takes by `with` is taken into account or left, like any other key.
3. An action that only talks to a service of its own is left, with what stands for it here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from farmgate.importing.github.actions.action import Action, Job
from farmgate.importing.github.actions.builds import build_push
from farmgate.importing.github.actions.files import cache, checkout, download, gradle, rust_cache, test_report, upload
from farmgate.importing.github.actions.languages import rust, setup, setup_uv, with_cargo, with_pip
from farmgate.importing.github.actions.tools import (
    cargo,
    cargo_install,
    command,
    install_tool,
    lint_go,
    pnpm,
    semver_checks,
)

__all__ = ["KNOWN", "NEEDLESS", "Action", "Job", "key_of", "remedy_of", "told_by_version"]


NEEDLESS: Final[Mapping[str, str]] = {
    "docker/setup-buildx-action": "the node builds images by itself",
    "docker/setup-qemu-action": "images are built for the node's own kind",
    "step-security/harden-runner": "jobs run in the sandbox",
    "styfle/cancel-workflow-action": "superseded runs are cancelled by themselves",
    "fkirc/skip-duplicate-actions": "say 'inputs', and a green result is used again",
    "gradle/wrapper-validation-action": "a check of GitHub's own",
    "microsoft/setup-msbuild": "a tool of Windows",
    "ilammy/msvc-dev-cmd": "a tool of Windows",
    "actions/configure-pages": "pages of GitHub's own",
    "jlumbroso/free-disk-space": "the workspace has its own limit",
}


LEFT: Final[Mapping[str, str]] = {
    "codecov/codecov-action": "coverage as 'reports: {cobertura: ...}' or 'lcov' is shown by Farmgate",
    "coverallsapp/github-action": "coverage as 'reports: {lcov: ...}' is shown by Farmgate",
    "github/codeql-action": "run a scanner in a step, and name its result in 'reports: {sarif: ...}'",
    "softprops/action-gh-release": "a lane delivers what passed: see docs/delivery.md",
    "peaceiris/actions-gh-pages": "a lane delivers what passed: see docs/delivery.md",
    "actions/deploy-pages": "a lane delivers what passed: see docs/delivery.md",
    "actions/upload-pages-artifact": "name the folder in 'artifacts'; a lane delivers it",
    "jamesives/github-pages-deploy-action": "a lane delivers what passed: see docs/delivery.md",
    "pypa/gh-action-pypi-publish": "twine upload in a step, with a secret or 'identity'",
    "docker/login-action": "Farmgate pushes what 'builds' makes to the registry that is configured",
    "docker/metadata-action": "an image is known by its digest here",
    "actions/github-script": "a script in the repository, with a secret for the forge",
    "aws-actions/configure-aws-credentials": "'identity' gives a token that AWS takes",
    "google-github-actions/auth": "'identity' gives a token that Google Cloud takes",
    "azure/login": "'identity' gives a token that Azure takes",
    "ossf/scorecard-action": "a check of GitHub's own settings",
    "actions/stale": "a matter of the forge, not of a build",
    "actions/labeler": "a matter of the forge, not of a build",
    "actions/dependency-review-action": "a matter of the forge, not of a build",
    "actions/create-release": "a lane delivers what passed: see docs/delivery.md",
    "slackapi/slack-github-action": "Farmgate tells the commit's author and the forge by itself",
}


KNOWN: Final[Mapping[str, Action]] = {
    "actions/checkout": checkout,
    "actions/cache": cache,
    "actions/cache/restore": cache,
    "actions/cache/save": cache,
    "actions/upload-artifact": upload,
    "actions/download-artifact": download,
    "actions/setup-python": setup("python", "python-version"),
    "actions/setup-node": setup("node", "node-version"),
    "actions/setup-go": setup("go", "go-version"),
    "actions/setup-java": setup("java", "java-version"),
    "actions/setup-dotnet": setup("dotnet", "dotnet-version"),
    "actions/setup-ruby": setup("ruby", "ruby-version"),
    "ruby/setup-ruby": setup("ruby", "ruby-version"),
    "shivammathur/setup-php": setup("php", "php-version"),
    "erlef/setup-beam": setup("elixir", "elixir-version"),
    "erlef/setup-elixir": setup("elixir", "elixir-version"),
    "haskell/actions/setup": setup("haskell", "ghc-version"),
    "haskell-actions/setup": setup("haskell", "ghc-version"),
    "oven-sh/setup-bun": setup("bun", "bun-version"),
    "denoland/setup-deno": setup("deno", "deno-version"),
    "dart-lang/setup-dart": setup("dart", "sdk"),
    "julia-actions/setup-julia": setup("julia", "version"),
    "crystal-lang/install-crystal": setup("crystal", "crystal"),
    "r-lib/actions/setup-r": setup("r", "r-version"),
    "shogo82148/actions-setup-perl": setup("perl", "perl-version"),
    "actions-rs/toolchain": rust("toolchain"),
    "actions-rust-lang/setup-rust-toolchain": rust("toolchain"),
    "dtolnay/rust-toolchain": rust("toolchain"),
    "hecrj/setup-rust-action": rust("toolchain"),
    "swatinem/rust-cache": rust_cache,
    "leafo/gh-actions-rust-cache": rust_cache,
    "actions-rs/cargo": with_cargo(cargo),
    "actions-rs/clippy-check": with_cargo(command("cargo clippy {args}", "args", "token", "name")),
    "actions-rs/audit-check": with_cargo(command("cargo install --locked cargo-audit && cargo audit", "token")),
    "rustsec/audit-check": with_cargo(command("cargo install --locked cargo-audit && cargo audit", "token")),
    "embarkstudios/cargo-deny-action": with_cargo(
        command(
            "cargo install --locked cargo-deny && cargo deny check {arguments}", "command", "arguments", "log-level"
        )
    ),
    "taiki-e/install-action": with_cargo(install_tool),
    "dtolnay/install": with_cargo(command("cargo install --locked {crate}", "crate", "bin")),
    "baptiste0928/cargo-install": with_cargo(cargo_install),
    "obi1kenobi/cargo-semver-checks-action": with_cargo(semver_checks),
    "nicolaiunrein/cargo-get": with_cargo(command("cargo install --locked cargo-get")),
    "crate-ci/typos": with_cargo(command("cargo install --locked typos-cli && typos {files}", "files")),
    "atiltedtree/setup-rust": rust("rust-version"),
    "briansmith/actions-cache": cache,
    "taiki-e/cache-cargo-install-action": with_cargo(install_tool),
    "briansmith/actions-checkout": checkout,
    "briansmith/actions-rs-toolchain": rust("toolchain"),
    "golangci/golangci-lint-action": lint_go,
    "pre-commit/action": with_pip(
        "pip install pre-commit\npre-commit run --show-diff-on-failure --color=always {extra_args}",
        "extra_args",
        "token",
    ),
    "psf/black": with_pip("pip install black\nblack {options} {src}", "options", "src", "version"),
    "astral-sh/ruff-action": with_pip("pip install ruff\nruff {args} {src}", "args", "src", "version"),
    "chartboost/ruff-action": with_pip("pip install ruff\nruff check {args} {src}", "args", "src", "version"),
    "astral-sh/setup-uv": setup_uv,
    "snok/install-poetry": with_pip(
        "pip install poetry", "version", "virtualenvs-create", "virtualenvs-in-project", "installer-parallel"
    ),
    "abatilo/actions-poetry": with_pip("pip install poetry", "poetry-version"),
    "pdm-project/setup-pdm": with_pip("pip install pdm", "python-version", "cache", "version"),
    "hynek/setup-cached-uv": setup_uv,
    "pnpm/action-setup": pnpm,
    "bahmutov/npm-install": command("npm ci", "useLockFile", "useRollingCache", "install-command", "working-directory"),
    "gradle/gradle-build-action": gradle,
    "gradle/actions/setup-gradle": gradle,
    "docker/build-push-action": build_push,
    "enricomi/publish-unit-test-result-action": test_report,
    "mikepenz/action-junit-report": test_report,
    "dorny/test-reporter": test_report,
    "ibiqlik/action-yamllint": with_pip(
        "pip install yamllint\nyamllint {file_or_dir}", "file_or_dir", "config_file", "strict"
    ),
    "ludeeus/action-shellcheck": command("find . -name '*.sh' -exec shellcheck {} +", "scandir", "severity"),
}


def key_of(uses: str) -> tuple[str, str]:
    """An action's name, and its version."""
    name, _, version = uses.partition("@")
    return name.strip().lower().removesuffix("/"), version


def remedy_of(name: str) -> str | None:
    """What stands here for an action that is left."""
    return next((said for key, said in LEFT.items() if name == key or name.startswith(f"{key}/")), None)


def told_by_version(name: str, version: str) -> dict[str, str]:
    """A toolchain or a tool that is named by an action's version, as `with` would say it; a commit says none."""
    if not version or re.fullmatch(r"[0-9a-f]{40}", version):
        return {}
    if name == "dtolnay/rust-toolchain":
        return {"toolchain": {"master": "stable", "v1": "stable"}.get(version, version)}
    if name == "taiki-e/install-action" and not re.fullmatch(r"v[0-9.]+|main", version):
        return {"tool": version}
    return {}
