"""GitLab's webhooks.

Two ways to prove who sends: a secret that begins with `whsec_` signs (Standard Webhooks), and then nothing else is
taken; any other secret is sent in plain as `X-Gitlab-Token`.

`X-Gitlab-Event-UUID` alone is no delivery's id: webhooks that were set off by another webhook share it. So `webhook-id`
or `Idempotency-Key` is taken, which stay the same over retries, else the event's id together with the body.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from farmgate.webhooks.deliveries import Change, Ignored, Pull, PullAction
from farmgate.webhooks.fields import Fields
from farmgate.webhooks.reading import head_of, moved
from farmgate.webhooks.signatures import Headers, check_standard, check_token

ACTIONS = {
    "open": PullAction.OPENED,
    "reopen": PullAction.OPENED,
    "update": PullAction.UPDATED,
    "close": PullAction.CLOSED,
    "merge": PullAction.CLOSED,
}


def recognises(headers: Headers) -> bool:
    return "x-gitlab-event" in headers


def event(headers: Headers) -> str:
    return headers.get("x-gitlab-event", "")


def delivery_id(headers: Headers, body: bytes) -> str:
    steady = headers.get("webhook-id", "") or headers.get("idempotency-key", "")
    shared = headers.get("x-gitlab-event-uuid", "")
    return steady or (f"{shared}:{hashlib.sha256(body).hexdigest()[:32]}" if shared else "")


def verify(secret: str, headers: Headers, body: bytes, now: datetime) -> None:
    if secret.startswith("whsec_"):
        check_standard(secret, headers, body, now)
    else:
        check_token(secret, headers, "X-Gitlab-Token")


def changes(event: str, payload: Fields) -> tuple[Change, ...]:
    match event:
        case "Push Hook" | "Tag Push Hook":
            return (moved(payload.ref("ref"), payload.sha("before"), payload.sha("after")),)
        case "Merge Request Hook":
            return (_merge_request(payload),)
        case _:
            return (Ignored(f"event {event!r} starts no work"),)


def _merge_request(payload: Fields) -> Change:
    request = payload.below("object_attributes")
    name = request.text("action", "")
    action = ACTIONS.get(name)
    if action is None:
        return Ignored(f"{name!r} of a merge request starts no work")
    edits = payload.maybe("changes")
    if action is PullAction.UPDATED and not (request.has("oldrev") or (edits and edits.has("target_branch"))):
        return Ignored("the merge request's commits and target are as before")
    number = request.number("iid")
    commit = request.maybe("last_commit") or Fields({}, "object_attributes.last_commit")
    source = request.maybe("source")
    return Pull(
        action=action,
        number=number,
        head_sha=head_of(commit, "id", action),
        head_ref=request.branch("source_branch"),
        base_ref=request.branch("target_branch"),
        from_fork=request.data.get("source_project_id") != request.number("target_project_id"),
        head_clone_url=source.url("git_http_url") if source else None,
        title=request.text("title"),
        # who acted; the author's own name is not told, and is the same when it is opened
        author=(payload.maybe("user") or Fields({})).text("username", ""),
        fetch_ref=f"refs/merge-requests/{number}/head",
    )
