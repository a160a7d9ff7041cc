"""Bitbucket Data Center's webhooks.

A push tells every ref that changed, with whole hashes. Its lists of commits may be cut short (`...Truncated`) and are
not read: the commits between two hashes come from git.
"""

from __future__ import annotations

from datetime import datetime

from farmgate.webhooks.deliveries import Change, Ignored, Ping, Pull, PullAction
from farmgate.webhooks.fields import Fields
from farmgate.webhooks.reading import head_of, moved
from farmgate.webhooks.signatures import Headers, check_hex

ACTIONS = {
    "pr:opened": PullAction.OPENED,
    "pr:reopened": PullAction.OPENED,
    "pr:from_ref_updated": PullAction.UPDATED,
    "pr:modified": PullAction.UPDATED,
    "pr:merged": PullAction.CLOSED,
    "pr:declined": PullAction.CLOSED,
    "pr:deleted": PullAction.CLOSED,
}


def recognises(headers: Headers) -> bool:
    return "x-event-key" in headers


def event(headers: Headers) -> str:
    return headers.get("x-event-key", "")


def delivery_id(headers: Headers, body: bytes) -> str:
    return headers.get("x-request-id", "")


def verify(secret: str, headers: Headers, body: bytes, now: datetime) -> None:
    # SHA-256, despite the header's name
    check_hex(secret, headers, "X-Hub-Signature", body)


def changes(event: str, payload: Fields) -> tuple[Change, ...]:
    if event == "diagnostics:ping":
        return (Ping(),)
    if event == "repo:refs_changed":
        return tuple(
            moved(change.below("ref").ref("id"), change.sha("fromHash"), change.sha("toHash"))
            for change in payload.each("changes")
        )
    if event in ACTIONS:
        return (_pull(event, payload),)
    return (Ignored(f"event {event!r} starts no work"),)


def _pull(event: str, payload: Fields) -> Change:
    action, pull = ACTIONS[event], payload.below("pullRequest")
    head, base, number = pull.below("fromRef"), pull.below("toRef"), pull.number("id")
    previous = payload.maybe("previousTarget")
    if event == "pr:modified" and (previous is None or previous.data.get("id") == base.data.get("id")):
        return Ignored("the pull request's commits and target are as before")
    source = head.below("repository")
    author = (pull.maybe("author") or Fields({})).maybe("user") or Fields({})
    return Pull(
        action=action,
        number=number,
        head_sha=head_of(head, "latestCommit", action),
        head_ref=head.ref("id"),
        base_ref=base.ref("id"),
        from_fork=source.number("id") != base.below("repository").number("id"),
        head_clone_url=_clone_url(source),
        title=pull.text("title"),
        author=author.text("name", ""),
        fetch_ref=f"refs/pull-requests/{number}/from",
    )


def _clone_url(repository: Fields) -> str | None:
    links = repository.maybe("links")
    if links is None or not links.has("clone"):
        return None
    addresses = {link.text("name", ""): link.url("href") for link in links.each("clone")}
    return addresses.get("http") or addresses.get("ssh")
