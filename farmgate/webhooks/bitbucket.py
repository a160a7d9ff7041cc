"""Bitbucket Cloud's webhooks.

One push may carry several changes, each with whole hashes; the lists of commits in them are cut short and not read.
Pull requests have no ref of their own: their branch is fetched, a fork's from the fork. Their hashes are shortened.
"""

from __future__ import annotations

import re
from datetime import datetime

from farmgate.errors import BadPayload
from farmgate.refs import HEADS, TAGS
from farmgate.webhooks.deliveries import Change, Ignored, Pull, PullAction
from farmgate.webhooks.fields import Fields
from farmgate.webhooks.reading import moved
from farmgate.webhooks.signatures import Headers, check_hex

ACTIONS = {
    "pullrequest:created": PullAction.OPENED,
    "pullrequest:updated": PullAction.UPDATED,
    "pullrequest:fulfilled": PullAction.CLOSED,
    "pullrequest:rejected": PullAction.CLOSED,
}
_PREFIXES = {"branch": HEADS, "named_branch": HEADS, "tag": TAGS, "annotated_tag": TAGS}


def recognises(headers: Headers) -> bool:
    key = headers.get("x-event-key", "")
    if key.startswith(("repo:refs_changed", "pr:", "diagnostics:")):
        return False
    ours = key.startswith(("repo:push", "pullrequest:"))
    return bool(key) and (ours or "x-hook-uuid" in headers or "x-request-uuid" in headers)


def event(headers: Headers) -> str:
    return headers.get("x-event-key", "")


def delivery_id(headers: Headers, body: bytes) -> str:
    return headers.get("x-request-uuid", "")


def verify(secret: str, headers: Headers, body: bytes, now: datetime) -> None:
    # SHA-256, despite the header's name
    check_hex(secret, headers, "X-Hub-Signature", body)


def changes(event: str, payload: Fields) -> tuple[Change, ...]:
    if event == "repo:push":
        return tuple(_change(change) for change in payload.below("push").each("changes"))
    if event in ACTIONS:
        return (_pull(ACTIONS[event], payload.below("pullrequest")),)
    return (Ignored(f"event {event!r} starts no work"),)


def _change(change: Fields) -> Change:
    old, new = change.maybe("old"), change.maybe("new")
    told = new or old
    if told is None:
        raise BadPayload(f"{change.way} has neither old nor new")
    prefix = _PREFIXES.get(told.raw("type"))
    if prefix is None:
        return Ignored(f"a {told.text('type')!r} is neither a branch nor a tag")
    before = old.below("target").sha("hash") if old else None
    after = new.below("target").sha("hash") if new else None
    return moved(told.ref("name", prefix), before, after)


def _pull(action: PullAction, pull: Fields) -> Change:
    source, target = pull.below("source"), pull.below("destination")
    theirs, ours = source.maybe("repository"), target.below("repository")
    page = theirs.maybe("links") if theirs else None
    page = page.maybe("html") if page else None
    address = page.url("href") if page else None
    branch = source.below("branch").branch("name")
    return Pull(
        action=action,
        number=pull.number("id"),
        head_sha=_short_head(source, action),
        head_ref=branch,
        base_ref=target.below("branch").branch("name"),
        from_fork=theirs is None or theirs.raw("uuid") != ours.raw("uuid"),
        head_clone_url=f"{address}.git" if address else None,
        title=pull.text("title"),
        author=(pull.maybe("author") or Fields({})).text("display_name", ""),
        fetch_ref=branch,
    )


def _short_head(source: Fields, action: PullAction) -> str:
    commit = source.maybe("commit")
    if commit is None and action is PullAction.CLOSED:
        return ""
    text = source.below("commit").raw("hash").lower()
    if not re.fullmatch(r"[0-9a-f]{7,64}", text):
        raise BadPayload(f"{source.way}.commit.hash is not a commit hash")
    return text
