"""Who asks, and whether they may.

Rules:
1. People come with `Authorization: Bearer <API token>`, or with the session cookie that a sign-in gave them.
2. A cookie is sent by the browser whoever asks it to, so with a cookie an unsafe method must come from our own origin.
3. `read` looks, `write` acts on runs and lanes, `admin` connects repositories, nodes and tokens; each includes the
   one before.
4. A node comes with its credential, an attempt with its own token; neither opens a person's door.
5. An attempt that is no longer the live one of its job is told so (409), whatever it brings.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from farmgate import models
from farmgate.errors import Forbidden, Unauthorised
from farmgate.models import TokenKind
from farmgate.store import attempts, nodes, tokens
from scheduler.context import Context

COOKIE = "farmgate_session"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
RIGHTS = ("read", "write", "admin")
APART = ("audit", "candidates")


@dataclass(frozen=True, slots=True)
class Principal:
    """A person or their tool. `session` is the id of the session token, where a browser asks."""

    name: str
    rights: frozenset[str]
    token_id: int
    session: bool = False

    def may(self, right: str) -> bool:
        """True if one of the rights is this one or includes it."""
        if right not in RIGHTS:
            return right in self.rights or right.partition(":")[0] in self.rights or "admin" in self.rights
        return any(RIGHTS.index(held) >= RIGHTS.index(right) for held in self.rights if held in RIGHTS)


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """An attempt whose token was right and that still is its job's live one."""

    job: models.Job
    attempt: models.Attempt


def context_of(request: Request) -> Context:
    """The context that `create_app` was given."""
    context: Context = request.app.state.context
    return context


def bearer(request: Request) -> str | None:
    """The token of a Bearer header, or the password of a Basic one."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip() or None
        case "basic":
            try:
                decoded = base64.b64decode(value, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return None
            return decoded.partition(":")[2] or None
        case _:
            return None


def same_origin(request: Request) -> bool:
    """True if a browser says that the request came from a page of ours."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin") or request.headers.get("referer")
    if origin is None:
        return site == "same-origin"
    return urlsplit(origin).netloc == request.headers.get("host")


def maybe_person(request: Request) -> Principal | None:
    """Who asks; None for a stranger. Raises Forbidden for a cookie that another site made the browser send."""
    context = context_of(request)
    plain = bearer(request)
    cookie = None if plain else request.cookies.get(COOKIE)
    if not plain and not cookie:
        return None
    if cookie and request.method not in SAFE and not same_origin(request):
        raise Forbidden("this request did not come from a page of this server")
    kind = TokenKind.API if plain else TokenKind.SESSION
    with context.store.reading() as connection:
        try:
            token = tokens.check(connection, context.vault, plain or cookie or "", (kind,), context.clock.now())
        except Unauthorised:
            return None
    return Principal(token.name, frozenset(token.rights), token.id, session=cookie is not None)


def known(request: Request) -> Principal:
    """Who asks, whatever they may; a stranger is refused."""
    principal = maybe_person(request)
    if principal is None:
        raise Unauthorised("no valid API token or session came with this request")
    return principal


def person(request: Request) -> Principal:
    """Who asks; a stranger is refused."""
    principal = known(request)
    if not principal.may("read"):
        raise Forbidden(f"{principal.name} has no right to read")
    return principal


def writer(request: Request) -> Principal:
    """A person who may act on runs and lanes."""
    return _with(person(request), "write")


def admin(request: Request) -> Principal:
    """A person who may connect repositories, nodes and tokens."""
    return _with(person(request), "admin")


def auditor(request: Request) -> Principal:
    """Who may read the audit log."""
    return _with(known(request), "audit")


def _with(principal: Principal, right: str) -> Principal:
    if not principal.may(right):
        raise Forbidden(f"{principal.name} has no right to {right}")
    return principal


def node(request: Request) -> models.Node:
    """The node whose credential came along. Raises Unauthorised."""
    context = context_of(request)
    with context.store.reading() as connection:
        token = tokens.check(connection, context.vault, bearer(request) or "", (TokenKind.NODE,), context.clock.now())
        if token.node_id is None:
            raise Unauthorised("this credential belongs to no node")
        return nodes.by_id(connection, token.node_id)


def attempt(request: Request, job: int, attempt: int) -> LiveAttempt:
    """The live attempt of the path, by its token. Raises Unauthorised, StaleAttempt."""
    context = context_of(request)
    plain = bearer(request)
    if plain is None:
        raise Unauthorised("no attempt token came with this request")
    with context.store.reading() as connection:
        found, row = attempts.live_by_token(connection, context.vault.hash(plain), job, attempt)
    return LiveAttempt(found, row)


Person = Annotated[Principal, Depends(person)]
MaybePerson = Annotated[Principal | None, Depends(maybe_person)]
Writer = Annotated[Principal, Depends(writer)]
Admin = Annotated[Principal, Depends(admin)]
Auditor = Annotated[Principal, Depends(auditor)]
Known = Annotated[Principal, Depends(known)]
AskingNode = Annotated[models.Node, Depends(node)]
AskingAttempt = Annotated[LiveAttempt, Depends(attempt)]
