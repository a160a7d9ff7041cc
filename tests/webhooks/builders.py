"""Webhooks as the forges send them, made here: a clone of the project has no recorded ones."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

from farmgate.webhooks import Forge

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRET = "a secret with ümlauts"
SIGNING_KEY = "whsec_" + base64.b64encode(b"thirty-two bytes of a secret key").decode()
OLD, NEW, NOTHING = "a" * 40, "b" * 40, "0" * 40

Payload = dict[str, Any]
Webhook = tuple[dict[str, str], bytes]

EVENT_HEADER = {
    Forge.GITHUB: "X-GitHub-Event",
    Forge.GITLAB: "X-Gitlab-Event",
    Forge.GITEA: "X-Gitea-Event",
    Forge.FORGEJO: "X-Forgejo-Event",
    Forge.BITBUCKET: "X-Event-Key",
    Forge.BITBUCKET_DC: "X-Event-Key",
    Forge.PLAIN: "X-Farmgate-Event",
}
ID_HEADER = {
    Forge.GITHUB: "X-GitHub-Delivery",
    Forge.GITLAB: "Idempotency-Key",
    Forge.GITEA: "X-Gitea-Delivery",
    Forge.FORGEJO: "X-Forgejo-Delivery",
    Forge.BITBUCKET: "X-Request-UUID",
    Forge.BITBUCKET_DC: "X-Request-Id",
    Forge.PLAIN: "X-Farmgate-Delivery",
}
SIGNATURE = {
    Forge.GITHUB: ("X-Hub-Signature-256", "sha256="),
    Forge.GITEA: ("X-Gitea-Signature", ""),
    Forge.FORGEJO: ("X-Forgejo-Signature", ""),
    Forge.BITBUCKET: ("X-Hub-Signature", "sha256="),
    Forge.BITBUCKET_DC: ("X-Hub-Signature", "sha256="),
    Forge.PLAIN: ("X-Farmgate-Signature", "sha256="),
}


def webhook(forge: Forge, event: str, payload: object, *, secret: str = SECRET, delivery: str = "d-1") -> Webhook:
    """A signed webhook with all the headers that its forge sends."""
    body = json.dumps(payload).encode()
    headers = {"Content-Type": "application/json", EVENT_HEADER[forge]: event, ID_HEADER[forge]: delivery}
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if forge is Forge.GITLAB:
        headers["X-Gitlab-Token"] = secret
    else:
        name, prefix = SIGNATURE[forge]
        headers[name] = prefix + digest
    if forge in (Forge.GITEA, Forge.FORGEJO):  # they send all the others' too
        headers |= {"X-Gitea-Event": event, "X-GitHub-Event": event, "X-GitHub-Delivery": delivery}
        headers |= {
            "X-Gitea-Signature": digest,
            "X-Hub-Signature-256": f"sha256={digest}",
            "X-Gitea-Delivery": delivery,
        }
    return headers, body


def signed_by_gitlab(payload: object, *, key: str = SIGNING_KEY, at: datetime = NOW) -> Webhook:
    """A webhook of GitLab with a signing token instead of a plain one."""
    body, stamp = json.dumps(payload).encode(), str(int(at.timestamp()))
    raw = base64.b64decode(key.removeprefix("whsec_"))
    digest = hmac.new(raw, b"d-1." + stamp.encode() + b"." + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {
        "X-Gitlab-Event": "Push Hook",
        "webhook-id": "d-1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,bm90IHRoaXM= {signature}",
    }, body


def push(forge: Forge, ref: str = "refs/heads/main", before: str = OLD, after: str = NEW) -> tuple[str, Payload]:
    """The event and payload of a push; NOTHING as `before` creates, as `after` deletes."""
    if forge is Forge.BITBUCKET:
        return "repo:push", {"push": {"changes": [cloud_change(ref, before, after)]}}
    if forge is Forge.BITBUCKET_DC:
        change = {"ref": {"id": ref}, "refId": ref, "fromHash": before, "toHash": after, "type": "UPDATE"}
        return "repo:refs_changed", {"eventKey": "repo:refs_changed", "changes": [change]}
    event = {Forge.GITLAB: "Tag Push Hook" if ref.startswith("refs/tags/") else "Push Hook"}.get(forge, "push")
    return event, {"ref": ref, "before": before, "after": after}


def cloud_change(ref: str, before: str, after: str) -> Payload:
    """One change of a push at Bitbucket Cloud."""
    _, kind, name = ref.split("/", 2)

    def end(sha: str) -> Payload | None:
        kinds = {"heads": "branch", "tags": "tag"}
        return None if sha == NOTHING else {"type": kinds.get(kind, kind), "name": name, "target": {"hash": sha}}

    return {"old": end(before), "new": end(after), "truncated": True}


def pull(forge: Forge, action: str, *, fork: bool = False, title: str = "A change") -> tuple[str, Payload]:
    """The event and payload of pull request 7 from `feature` (of a fork) to `main`; `action` in the forge's words."""
    theirs = 2 if fork else 1
    name = "them/fork" if fork else "us/repo"
    url = f"https://forge.example/{name}.git"
    match forge:
        case Forge.GITLAB:
            attributes = {
                "iid": 7,
                "action": action,
                "title": title,
                "source_branch": "feature",
                "target_branch": "main",
                "source_project_id": theirs,
                "target_project_id": 1,
                "last_commit": {"id": NEW},
                "source": {"git_http_url": url},
            }
            if action == "update":
                attributes["oldrev"] = OLD
            return "Merge Request Hook", {"object_attributes": attributes, "user": {"username": "ada"}}
        case Forge.BITBUCKET:
            repository = {"uuid": f"{{{theirs}}}", "links": {"html": {"href": url.removesuffix(".git")}}}
            source = {"branch": {"name": "feature"}, "commit": {"hash": NEW[:12]}, "repository": repository}
            target = {"branch": {"name": "main"}, "commit": {"hash": OLD[:12]}, "repository": {"uuid": "{1}"}}
            author = {"display_name": "ada"}
            return action, {
                "pullrequest": {"id": 7, "title": title, "source": source, "destination": target, "author": author}
            }
        case Forge.BITBUCKET_DC:
            clone = [{"name": "ssh", "href": "ssh://git@forge.example/x"}, {"name": "http", "href": url}]
            head: Payload = {
                "id": "refs/heads/feature",
                "latestCommit": NEW,
                "repository": {"id": theirs, "links": {"clone": clone}},
            }
            base: Payload = {"id": "refs/heads/main", "latestCommit": OLD, "repository": {"id": 1}}
            person = {"user": {"name": "ada"}}
            return action, {"pullRequest": {"id": 7, "title": title, "fromRef": head, "toRef": base, "author": person}}
        case _:
            whose = {"id": theirs, "full_name": name, "clone_url": url}
            head = {"ref": "feature", "sha": NEW, "repo_id": theirs, "repo": whose}
            base = {"ref": "main", "sha": OLD, "repo_id": 1, "repo": {"id": 1, "full_name": "us/repo"}}
            request = {"number": 7, "title": title, "head": head, "base": base, "user": {"login": "ada"}}
            return "pull_request", {"action": action, "number": 7, "pull_request": request}
