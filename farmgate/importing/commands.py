"""Commands of a source, put into the steps of a job.

Rules:
1. Where the source runs its commands one after the other in one shell, each becomes a step, until one sets what only
   that shell remembers (a variable, a folder): it and all that follow it become one step.
2. A step that lost a command to `farmgate.importing.shell`'s rules counts as left, even if the rest of it runs.
3. Jobs run without root: what pip or npm install for everyone goes below the home, and its `bin` onto the path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from farmgate.documents import Document, Location
from farmgate.importing import image_commands
from farmgate.importing.account import Account, Kind
from farmgate.importing.draft import Draft
from farmgate.importing.image_commands import Images
from farmgate.importing.shell import clean, literal, needs_docker, shell_for, summary
from farmgate.importing.writing import Noted

_STATE: Final = re.compile(
    r"(?:^|[;&]\s*|\n\s*)(?:export|cd|source|\.|pushd|popd|set|unset|alias|eval|shopt|conda activate|nvm use|umask|ulimit|trap)\s"  # noqa: E501
    r"|^\s*[A-Za-z_][A-Za-z0-9_]*=(?:\S*|\"[^\"]*\"|'[^']*'|\$\(.*\)|`.*`)\s*(?:;.*)?$"
    r"|^\s*(?:function\s+\w+|\w+\s*\(\)\s*\{)|&\s*$",
    re.MULTILINE,
)
ROOT_REMEDY: Final = "steps run without root: use an image that has it"
DOCKER_REMEDY: Final = "'builds' makes images, 'services' runs containers"
BUILDS_REMEDY: Final = "it is built after the job's steps, and pushed where FARMGATE_REGISTRY says"
OF_ROOT: Final = "a command needs root"
OF_DOCKER: Final = "a command needs a Docker engine"
_LONGEST: Final = 90_000


@dataclass(slots=True)
class Shell:
    """One shell of the source: commands in order, each with its place."""

    document: Document
    account: Account
    exports: list[str] = field(default_factory=list)  # lines in front of every step
    commands: list[tuple[Location, str]] = field(default_factory=list)
    own_words: bool = False  # the commands already speak of `${{ matrix.x }}`

    def add(self, at: Location, command: str) -> None:
        """One more command."""
        if command.strip():
            self.commands.append((at, command))

    @property
    def words(self) -> str:
        """All commands, to look for what they ask for."""
        return " ".join(command for _, command in self.commands)

    def into(self, draft: Draft, **more: Any) -> None:
        """Make steps of the commands (rules 1 and 2)."""
        good: list[tuple[str, list[str]]] = []  # commands, with the comments above them
        notes: list[str] = []
        images = image_commands.for_job(draft, (command for _, command in self.commands))
        for at, command in self.commands:
            with self.account.noting(notes):
                text = ready(self.account, self.document, at, command, own_words=self.own_words, images=images)
            images.follow(command)
            if text is not None:
                good.append((text, notes))
                notes = []
        for text, above in _steps(good):
            draft.pending += above
            add(draft, text, self.exports, **more)
        draft.pending += notes


def _steps(good: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    joined = False
    for text, above in good:
        if joined and len(found[-1][0]) + len(text) < _LONGEST:
            found[-1] = (f"{found[-1][0]}\n{text}", [*found[-1][1], *above])
            continue
        found.append((text, above))
        joined = joined or bool(_STATE.search(text))
    return found


def ready(
    account: Account,
    document: Document,
    at: Location,
    command: str,
    *,
    own_words: bool = False,
    images: Images | None = None,
) -> str | None:
    """A command that can run here, counted; None if nothing is left of it. `images`: where what builds images goes."""
    text = command if own_words else literal(command)
    if "\0" in text or len(text) > _LONGEST:
        account.say(Kind.LEFT, document, at, "a command that is too long, or holds a NUL", "put it into a script")
        account.step_left("too long")
        return None
    cleaned = clean(text.rstrip())
    left, whole = [], cleaned.text
    for one in cleaned.taken_out:
        if images is not None and images.build(one):
            account.say(Kind.LOOK, document, at, f"is one of 'builds': {summary(one)}", BUILDS_REMEDY)
        elif images is not None and images.around(one):
            account.say(Kind.NEEDLESS, document, at, f"Farmgate keeps and pushes what it builds: {summary(one)}", None)
        else:
            left.append(one)
            if needs_docker(one):
                account.say(Kind.LEFT, document, at, f"needs a Docker engine: {summary(one)}", DOCKER_REMEDY)
            else:
                account.say(Kind.LEFT, document, at, f"needs root: {summary(one)}", ROOT_REMEDY)
            continue
        whole = whole.replace(f"#   needs a Docker engine: {summary(one)}", "#   see 'builds'")
    if left:
        account.step_left(OF_DOCKER if needs_docker(left[0]) else OF_ROOT)
        return None if cleaned.empty else whole
    account.converted += 1
    return None if cleaned.taken_out and cleaned.empty else whole


def add(draft: Draft, text: str, exports: Sequence[str] = (), **more: Any) -> None:
    """Add a step, with what its shell needs to know first."""
    used = [line for line in exports if line]
    if used and "name" not in more:
        more["name"] = summary(_first(text))
    more.setdefault("shell", shell_for(text))
    draft.step("\n".join([*used, text]), **more)


def _first(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    return lines[0] if lines else "commands"


# --- what is installed without root ------------------------------------------------------------------------------------  # noqa: E501

_PIP: Final = re.compile(
    r"\bpip[0-9.]*\s+install\b|\beasy_install\b|setup\.py\s+(?:install|develop)\b|\bpip[0-9.]*\s.*\binstall\b"
)
_NPM: Final = re.compile(
    r"\b(?:npm|pnpm)\s+(?:[^\n;&|]*\s)?(?:-g|--global|--location=global)\b|\byarn\s+global\s+add\b"
)
_OWN_PLACE: Final = re.compile(r"\bvenv\b|\bvirtualenv\b|\bconda\b")
_ON_PATH: Final = 'export PATH="$HOME/.local/bin:$PATH"'
_PREFIX: Final = 'export NPM_CONFIG_PREFIX="$HOME/.local"'
_QUIET: Final = re.compile(r"^(?:python[0-9.]*|pip[0-9.]*|echo|cat|ls|mkdir|cp|mv|rm|git|curl|wget|export|cd)\b")


def without_root(draft: Draft) -> None:
    """What is installed goes below the home, and is found there (rule 3)."""
    installed = False
    for at, step in enumerate(draft.steps):
        body = step.value if isinstance(step, Noted) else step
        said: dict[str, Any] = dict(body) if isinstance(body, dict) else {"run": body}
        run = str(said.get("run", ""))
        if said.get("image") or not run or (said.get("shell") or "sh").split()[0] not in ("sh", "bash"):
            continue
        lines = []
        globally = bool(_NPM.search(run))
        if globally:
            lines.append(_PREFIX)
        pip = bool(_PIP.search(run)) and not _OWN_PLACE.search(run)
        several = "\n" in run.strip() or "&&" in run or ";" in run
        if (installed and not _QUIET.match(run)) or ((globally or pip) and several):
            lines.append(_ON_PATH)
        installed = installed or globally or pip
        if not lines:
            continue
        said.setdefault("name", summary(_first(run)))
        said = {"name": said.pop("name"), **said, "run": "\n".join([*lines, run.rstrip("\n")]) + "\n"}
        draft.steps[at] = Noted(said, step.notes) if isinstance(step, Noted) else said


def after(command: str) -> str:
    """A command whose result does not decide."""
    return f"({command}) || true" if "\n" not in command and "#" not in command else f"(\n{command}\n) || true"


def exports(variables: Mapping[str, str], text: str) -> list[str]:
    """Lines of the shell for those of the source's own variables that a command asks for."""
    return [f'export {name}="{value}"' for name, value in variables.items() if re.search(rf"\$\{{?{name}\b", text)]


def forgiven(text: str) -> str:
    """Commands of which the first that fails ends them all, and does not decide. In the background, since a shell
    forgets `-e` in front of `||`."""
    return f"(\n{text}\n) &\nwait $! || true"


def event(*, tag: str = "tag", pull: str, person: str) -> str:
    """What started the run, in the source's words, as the shell finds it out."""
    words = f"(tag) echo {tag} ;; (pull) echo {pull} ;; (person) echo {person} ;; (*) echo push ;;"
    return f'$(case "$FARMGATE_TRIGGER" in {words} esac)'
