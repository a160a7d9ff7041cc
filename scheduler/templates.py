"""Where the templates of pipelines come from: this server, Farmgate itself, and repositories of the farm.

Rules:
1. A name is one of the server's templates, else one that comes with Farmgate; the server takes no name of these.
2. In a repository a revision is a tag or a whole commit hash. A branch is refused: it moves. What the mirror does not
   hold is fetched once; what is not there then has vanished, which is told and not tried again.
3. A repository that cannot be reached is lost infrastructure: RemoteUnreachable goes on to whoever reads the change.
4. A proposal from a fork takes a template of another repository only where the default branch's own file uses just
   that: else a stranger could read any file of any repository of the farm through it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from farmgate.errors import BadDocument, NotAFile, NotFound, NotInRepository
from farmgate.git import History
from farmgate.models import Repository, TemplateVersion, Trust
from farmgate.pipeline import FILE_NAME
from farmgate.pipeline.builtin import NAMES, built_in, unknown
from farmgate.pipeline.parsing import used_by
from farmgate.pipeline.templates import Found
from farmgate.pipeline.use import UseFile
from farmgate.refs import HEADS, TAGS
from farmgate.store import repositories, templates
from scheduler.context import Context

_HASH: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class FarmTemplates:
    """The templates that a file of `repository` may use; None: whoever asks is a person who may read everything."""

    def __init__(self, context: Context, repository: Repository | None, trust: Trust) -> None:
        self._context = context
        self._repository = repository
        self._trust = trust

    def find(self, use: UseFile, *, nested: bool) -> Found:
        """Raises NotFound, RemoteUnreachable."""
        if use.template is not None:
            return self._named(use, use.template)
        if not nested and not self._allowed(use):
            raise NotFound(
                f"a proposal from a fork cannot use {use}: only what the default branch's own {FILE_NAME} uses"
            )
        return self._of_repository(use)

    def _named(self, use: UseFile, name: str) -> Found:
        with self._context.store.reading() as connection:
            found = templates.find(connection, name, use.version)
            known = [row.name for row in templates.present(connection)] if found is None else []
        if found is not None and found.text is not None:
            return of_server(found, found.text)
        if name in NAMES and use.version is None:
            return built_in(name)
        if name in NAMES:
            raise NotFound(f"template {name!r} comes with Farmgate and has no versions: leave 'version' out")
        raise NotFound(unknown(use, [*known, *NAMES]))

    def _of_repository(self, use: UseFile) -> Found:
        name, path, revision = str(use.repository), str(use.path), str(use.revision)
        with self._context.store.reading() as connection:
            try:
                repository = repositories.by_name(connection, name)
            except NotFound:
                raise NotFound(f"{use}: no repository {name!r} is connected to this farm") from None
        history = self._context.mirrors.of(repository)
        sha = _resolved(history, revision)
        if sha is None:
            self._context.mirrors.fetch(repository)
            sha = _resolved(history, revision)
        if sha is None:
            if HEADS + revision in history.refs():
                raise NotFound(f"{use}: {revision!r} is a branch, which moves: name a tag or a whole commit hash")
            raise NotFound(f"{use}: repository {name!r} has no tag and no commit {revision!r} (any more)")
        try:
            text = history.read(sha, path)
        except NotAFile as error:
            raise NotFound(f"{use}: {error}") from None
        if text is None:
            raise NotFound(f"{use}: there is no file {path!r} at that revision")
        origin = {"name": f"{name}/{path}", "revision": revision, "commit": sha, "sha256": _digest(text)}
        return Found(text, f"{name}/{path}@{revision}", origin)

    def _allowed(self, use: UseFile) -> bool:
        """Rule 4."""
        if self._trust is Trust.TRUSTED or self._repository is None or use.repository == self._repository.name:
            return True
        history = self._context.mirrors.of(self._repository)
        try:
            text = history.read(history.resolve(HEADS + self._repository.default_branch), FILE_NAME)
            return text is not None and used_by(text) == use
        except (BadDocument, NotAFile, NotInRepository):
            return False


def of_server(row: TemplateVersion, text: str) -> Found:
    """A template of the server as a lookup gives it."""
    origin = {"name": row.name, "revision": str(row.version), "sha256": _digest(text.encode())}
    return Found(text, f"{row.name}@{row.version}", origin)


def _resolved(history: History, revision: str) -> str | None:
    if _HASH.fullmatch(revision):
        try:
            return history.commit(revision).sha
        except NotInRepository:
            return None
    return history.refs().get(TAGS + revision)


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


__all__ = ["FarmTemplates", "of_server"]
