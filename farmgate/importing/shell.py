"""The commands of other systems' steps, made to run here.

Rules:
1. Steps run without root, and without a Docker engine. `sudo` goes where the command does not need it; a command that
   does need root is taken out, named in a comment, and told as left: its packages belong into the job's image.
2. A step is run by `sh`. Where the commands speak bash, the step says `shell: bash -e`.
3. `${{` is our own word: in what others wrote it is just characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

BASH: Final = "bash -e"
_SUDO: Final = r"(?:sudo(?:\s+-[A-Za-z]+)*(?:\s+[A-Z_]+=\S*)*\s+)"
_ASSIGNED: Final = r"(?:(?:[A-Za-z_][A-Za-z0-9_]*=\S*|env|travis_retry|retry|time|command|-)\s+)*"
_PACKAGES: Final = re.compile(
    rf"^{_ASSIGNED}{_SUDO}?{_ASSIGNED}(?:apt-get|apt|aptitude|apt-key|add-apt-repository|apk|yum|dnf|microdnf|zypper|pacman|dpkg|emerge"
    r"|xbps-install|update-ca-certificates|usermod|useradd|groupadd|update-alternatives|locale-gen|debconf-set-selections"
    r"|systemctl|service|modprobe|sysctl|mount|ldconfig|tlmgr|nix-env|pkg)\b(?!-)",
)
_HARMLESS: Final = re.compile(
    rf"^{_ASSIGNED}{_SUDO}{_ASSIGNED}(?:pip[0-9.]*|npm|yarn|gem|python[0-9.]*|composer|cargo|go|bundle|make(?!\s+install)|npx|pnpm)\b"
)
_ROOT: Final = re.compile(rf"^{_ASSIGNED}{_SUDO}")
_DOCKER: Final = re.compile(
    rf"^{_ASSIGNED}{_SUDO}?{_ASSIGNED}(?:(?:docker|podman|buildah)\s+(?!--version|version\b)\S|docker-compose\s|/kaniko/executor\b)"
)
_WRAPPER: Final = re.compile(r"\b(?:travis_retry|travis_wait(?:\s+[0-9]+)?)\s+")
_BASHISM: Final = re.compile(
    r"\[\[|<<<|<\(|>\(|&>|\$'|\bpipefail\b|(?:^|[;&|]\s*|\n\s*)(?:source|declare|shopt|mapfile|readarray|pushd|popd|let)\s"
    r"|\$\{[A-Za-z_][A-Za-z0-9_]*(?:/|\^|,|:[0-9$ -]|\[)|\$\{![A-Za-z]|=\(|\(\(|(?:^|\n)\s*function\s+\w|\{[0-9a-z]+\.\.[0-9a-z]+\}"  # noqa: E501
    r"|\bPIPESTATUS\b|\bBASH_|\+=|\b(?:read|export)\s+-[na]\b|\bset\s+-[a-z]*[E]|\btrap\s.*\bERR\b"
)
_GLUE: Final = re.compile(r"(?:&&|\|\||\||\\)\s*$")
_TANGLED_MORE: Final = re.compile(r"\b(?:if|then|else|fi|for|do|done|while|case|esac)\b|<<")
_PIPED_LOGIN: Final = re.compile(r"\|\s*(?:sudo\s+)?(?:docker|podman|buildah)\s+login\b")
_TANGLED: Final = re.compile(r"['\"`(){}|]|\b(?:if|then|else|fi|for|do|done|while|case|esac)\b|<<")


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Commands without root; `taken_out` are those that were left."""

    text: str
    taken_out: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """True if nothing that does anything is left."""
        lines = [line.strip() for line in self.text.splitlines()]
        return not any(
            line and not line.startswith("#") and line != ":" and not re.fullmatch(r"set [-+]\S+( \w+)?", line)
            for line in lines
        )


def clean(run: str) -> Cleaned:
    """Commands as they can run here (rule 1)."""
    found: list[str] = []
    out: list[str] = []
    for line in _logical(_WRAPPER.sub("", run)):
        found += _clean_line(line, out)
    return Cleaned("\n".join(found), tuple(out))


def literal(text: str) -> str:
    """Rule 3."""
    return text.replace("${{", "$${{")


def shell_for(run: str) -> str | None:
    """None where `sh` will do."""
    return BASH if _BASHISM.search(run) else None


def quoted(text: str) -> str:
    """A word for the shell, as it stands."""
    if re.fullmatch(r"[A-Za-z0-9_./:@%+=,-]+", text):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def summary(command: str) -> str:
    """A command in one line, for a message."""
    plain = " ".join(command.split())
    return plain if len(plain) <= 80 else plain[:77] + "..."


def _logical(run: str) -> list[str]:
    """Lines with what continues them."""
    lines: list[str] = []
    open_line = False
    for line in run.split("\n"):
        if open_line:
            lines[-1] += "\n" + line
        else:
            lines.append(line)
        open_line = bool(_GLUE.search(line)) and not line.lstrip().startswith("#")
    return lines


def asks_engine(command: str) -> bool:
    """True for a login at the end of a pipe."""
    return bool(_PIPED_LOGIN.search(command))


def needs_docker(command: str) -> bool:
    """True if the command asks a Docker engine, which steps do not have."""
    return bool(_DOCKER.match(command.strip())) or asks_engine(command)


def needs_root(command: str) -> bool:
    """True if the command cannot work without root."""
    command = command.strip()
    return needs_docker(command) or bool(
        _PACKAGES.match(command) or (_ROOT.match(command) and not _HARMLESS.match(command))
    )


def _clean_line(line: str, out: list[str]) -> list[str]:
    stripped = line.strip()
    if asks_engine(stripped) and not _TANGLED_MORE.search(stripped):
        out.append(stripped)
        return [f"{line[: len(line) - len(line.lstrip())]}#   needs a Docker engine: {summary(stripped)}"]
    if (
        not re.search(r"\bsudo\b", stripped)
        and not needs_root(stripped)
        and "apt" not in stripped
        and "apk" not in stripped
    ):
        return [line]
    pad = line[: len(line) - len(line.lstrip())]
    parts = [stripped] if _TANGLED.search(stripped) else re.split(r"\s*(?:&&|;)\s*(?:\\\n\s*)?", stripped)
    bad = [part for part in parts if needs_root(part)]
    if bad:
        out += bad
        good = [_without_sudo(part) for part in parts if part and part not in bad]
        noted = [
            f"{pad}#   needs {'a Docker engine' if needs_docker(part) else 'root'}: {summary(part)}" for part in bad
        ]
        return [*noted, f"{pad}{' && '.join(good) or ':'}"]
    return [pad + _without_sudo(stripped)]


def _without_sudo(command: str) -> str:
    return re.sub(rf"(^|[;&|]\s*|\b(?:then|do|else)\s+){_SUDO}", r"\1", command)
