"""Gitea's webhooks.

Making a branch or tag sends `create` and `push`, deleting a tag `delete` and `push`, but deleting a branch `delete`
alone (services/repository/push.go). So `create` is ignored, and `delete` is taken: a push with hashes makes the run,
once, and deleting twice is deleting once.
"""

from __future__ import annotations

from datetime import datetime

from farmgate.errors import BadPayload
from farmgate.refs import HEADS, TAGS
from farmgate.webhooks.deliveries import Change, Deleted, Ignored, Pull, PullAction
from farmgate.webhooks.fields import Fields
from farmgate.webhooks.reading import head_of, moved
from farmgate.webhooks.signatures import Headers, check_hex

ACTIONS = {
    "opened": PullAction.OPENED,
    "reopened": PullAction.OPENED,
    "synchronize": PullAction.UPDATED,
    "synchronized": PullAction.UPDATED,
    "closed": PullAction.CLOSED,
}


def recognises(headers: Headers) -> bool:
    return "x-gitea-event" in headers


def event(headers: Headers) -> str:
    return headers.get("x-gitea-event", "")


def delivery_id(headers: Headers, body: bytes) -> str:
    return headers.get("x-gitea-delivery", "")


def verify(secret: str, headers: Headers, body: bytes, now: datetime) -> None:
    check_hex(secret, headers, "X-Gitea-Signature", body, prefix="")


def changes(event: str, payload: Fields) -> tuple[Change, ...]:
    match event:
        case "push":
            return (moved(payload.ref("ref"), payload.sha("before"), payload.sha("after")),)
        case "create":
            return (Ignored("'create' repeats what 'push' says"),)
        case "delete":
            return (_deleted(payload),)
        case "pull_request" | "pull_request_sync":
            return (_pull(payload),)
        case _:
            return (Ignored(f"event {event!r} starts no work"),)


def _deleted(payload: Fields) -> Change:
    match payload.raw("ref_type"):
        case "branch":
            return Deleted(payload.ref("ref", HEADS), None)
        case "tag":
            return Deleted(payload.ref("ref", TAGS), None)
        case other:
            raise BadPayload(f"ref_type is {other[:40]!r}, neither branch nor tag")


def _pull(payload: Fields) -> Change:
    name = payload.text("action")
    action = ACTIONS.get(name)
    edits = payload.maybe("changes")
    if name == "edited" and edits is not None and (edits.has("ref") or edits.has("base")):
        action = PullAction.UPDATED
    if action is None:
        return Ignored(f"{name!r} of a pull request starts no work")
    pull = payload.below("pull_request")
    head, base, number = pull.below("head"), pull.below("base"), pull.number("number")
    source = head.maybe("repo")
    return Pull(
        action=action,
        number=number,
        head_sha=head_of(head, "sha", action),
        head_ref=head.branch("ref"),
        base_ref=base.branch("ref"),
        # where the payload does not say, it counts as a fork: less is trusted
        from_fork=not head.has("repo_id") or head.data["repo_id"] != base.data.get("repo_id"),
        head_clone_url=source.url("clone_url") if source else None,
        title=pull.text("title"),
        author=(pull.maybe("user") or Fields({})).text("login", ""),
        fetch_ref=f"refs/pull/{number}/head",
    )
