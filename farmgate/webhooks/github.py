"""GitHub's webhooks (docs.github.com/webhooks).

`create` and `delete` say again what `push` says with hashes, so they are ignored.
"""

from __future__ import annotations

from datetime import datetime

from farmgate.webhooks.deliveries import Change, Ignored, Ping, Pull, PullAction
from farmgate.webhooks.fields import Fields
from farmgate.webhooks.reading import head_of, moved
from farmgate.webhooks.signatures import Headers, check_hex

ACTIONS = {
    "opened": PullAction.OPENED,
    "reopened": PullAction.OPENED,
    "synchronize": PullAction.UPDATED,
    "closed": PullAction.CLOSED,
}


def recognises(headers: Headers) -> bool:
    return "x-github-event" in headers


def event(headers: Headers) -> str:
    return headers.get("x-github-event", "")


def delivery_id(headers: Headers, body: bytes) -> str:
    return headers.get("x-github-delivery", "")


def verify(secret: str, headers: Headers, body: bytes, now: datetime) -> None:
    check_hex(secret, headers, "X-Hub-Signature-256", body)


def changes(event: str, payload: Fields) -> tuple[Change, ...]:
    match event:
        case "ping":
            return (Ping(),)
        case "push":
            return (moved(payload.ref("ref"), payload.sha("before"), payload.sha("after")),)
        case "pull_request":
            return (_pull(payload),)
        case "create" | "delete":
            return (Ignored(f"{event!r} repeats what 'push' says"),)
        case _:
            return (Ignored(f"event {event!r} starts no work"),)


def _pull(payload: Fields) -> Change:
    name = payload.text("action")
    action = ACTIONS.get(name)
    if name == "edited" and payload.has("changes") and payload.below("changes").has("base"):
        action = PullAction.UPDATED
    if action is None:
        return Ignored(f"{name!r} of a pull request starts no work")
    pull = payload.below("pull_request")
    head, base, number = pull.below("head"), pull.below("base"), pull.number("number")
    source, target = head.maybe("repo"), base.below("repo")
    return Pull(
        action=action,
        number=number,
        head_sha=head_of(head, "sha", action),
        head_ref=head.branch("ref"),
        base_ref=base.branch("ref"),
        # either sign of another repository is enough: less is trusted
        from_fork=source is None or any(source.data.get(key) != target.data.get(key) for key in ("id", "full_name")),
        head_clone_url=source.url("clone_url") if source else None,
        title=pull.text("title"),
        author=(pull.maybe("user") or Fields({})).text("login", ""),
        fetch_ref=f"refs/pull/{number}/head",
    )
