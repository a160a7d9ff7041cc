"""What each forge says, in our words."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from farmgate.errors import BadPayload
from farmgate.webhooks import Deleted, Delivery, Forge, Ignored, Ping, Pull, PullAction, Pushed, parse, recognise
from tests.webhooks.builders import NEW, NOTHING, OLD, Payload, cloud_change, pull, push, webhook

FORGES = pytest.mark.parametrize("forge", Forge)
GITEAS = pytest.mark.parametrize("forge", [Forge.GITEA, Forge.FORGEJO])
ACTIONS: dict[Forge, dict[PullAction, list[str]]] = {
    Forge.GITHUB: {
        PullAction.OPENED: ["opened", "reopened"],
        PullAction.UPDATED: ["synchronize"],
        PullAction.CLOSED: ["closed"],
    },
    Forge.GITEA: {PullAction.OPENED: ["opened"], PullAction.UPDATED: ["synchronized"], PullAction.CLOSED: ["closed"]},
    Forge.FORGEJO: {PullAction.OPENED: ["opened"], PullAction.UPDATED: ["synchronized"], PullAction.CLOSED: ["closed"]},
    Forge.GITLAB: {
        PullAction.OPENED: ["open", "reopen"],
        PullAction.UPDATED: ["update"],
        PullAction.CLOSED: ["close", "merge"],
    },
    Forge.BITBUCKET: {
        PullAction.OPENED: ["pullrequest:created"],
        PullAction.UPDATED: ["pullrequest:updated"],
        PullAction.CLOSED: ["pullrequest:fulfilled", "pullrequest:rejected"],
    },
    Forge.BITBUCKET_DC: {
        PullAction.OPENED: ["pr:opened", "pr:reopened"],
        PullAction.UPDATED: ["pr:from_ref_updated"],
        PullAction.CLOSED: ["pr:merged", "pr:declined", "pr:deleted"],
    },
}
EVERY_ACTION = [
    (forge, action, word) for forge, actions in ACTIONS.items() for action, words in actions.items() for word in words
]
FETCH_REF = {
    Forge.GITLAB: "refs/merge-requests/7/head",
    Forge.BITBUCKET: "refs/heads/feature",
    Forge.BITBUCKET_DC: "refs/pull-requests/7/from",
}


def said(forge: Forge, event: str, payload: object) -> Delivery:
    headers, body = webhook(forge, event, payload)
    return parse(recognise(headers), headers, body)


@FORGES
@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/heads/a/b#ü", "refs/tags/v1"])
def test_a_ref_is_created_moved_and_deleted(forge: Forge, ref: str) -> None:
    assert said(forge, *push(forge, ref)).changes == (Pushed(ref, OLD, NEW),)
    assert said(forge, *push(forge, ref, before=NOTHING)).changes == (Pushed(ref, None, NEW),)
    assert said(forge, *push(forge, ref, after=NOTHING)).changes == (Deleted(ref, OLD),)


@FORGES
def test_a_ref_that_is_neither_branch_nor_tag_is_ignored_with_a_reason(forge: Forge) -> None:
    (change,) = said(forge, *push(forge, "refs/notes/x")).changes
    assert isinstance(change, Ignored)
    assert "neither a branch nor a tag" in change.why


@pytest.mark.parametrize(("forge", "action", "word"), EVERY_ACTION)
def test_a_pull_request_from_the_repository_itself(forge: Forge, action: PullAction, word: str) -> None:
    (change,) = said(forge, *pull(forge, word)).changes
    assert change == Pull(
        action=action,
        number=7,
        head_sha=NEW[:12] if forge is Forge.BITBUCKET else NEW,
        head_ref="refs/heads/feature",
        base_ref="refs/heads/main",
        from_fork=False,
        head_clone_url="https://forge.example/us/repo.git",
        title="A change",
        author="ada",
        fetch_ref=FETCH_REF.get(forge, "refs/pull/7/head"),
    )


@pytest.mark.parametrize(("forge", "action", "word"), EVERY_ACTION)
def test_a_pull_request_from_a_fork_is_marked(forge: Forge, action: PullAction, word: str) -> None:
    (change,) = said(forge, *pull(forge, word, fork=True)).changes
    assert isinstance(change, Pull)
    assert change.action is action
    assert change.from_fork
    assert change.head_clone_url == "https://forge.example/them/fork.git"


def test_a_pull_request_whose_fork_is_gone_still_counts_as_a_forks() -> None:
    event, payload = pull(Forge.GITHUB, "closed", fork=True)
    payload["pull_request"]["head"]["repo"] = None
    (change,) = said(Forge.GITHUB, event, payload).changes
    assert isinstance(change, Pull)
    assert change.from_fork
    assert change.head_clone_url is None


def test_a_closed_pull_request_needs_no_head() -> None:
    event, payload = pull(Forge.GITEA, "closed")
    payload["pull_request"]["head"]["sha"] = ""
    (change,) = said(Forge.GITEA, event, payload).changes
    assert isinstance(change, Pull)
    assert change.head_sha == ""


@pytest.mark.parametrize(
    ("forge", "word", "changed"),
    [
        (Forge.GITHUB, "edited", {"changes": {"base": {"ref": {"from": "old"}}}}),
        (Forge.GITEA, "edited", {"changes": {"ref": {"from": "old"}}}),
        (Forge.GITLAB, "update", {"changes": {"target_branch": {"previous": "old", "current": "main"}}}),
        (Forge.BITBUCKET_DC, "pr:modified", {"previousTarget": {"id": "refs/heads/old"}}),
    ],
)
def test_another_base_is_an_update(forge: Forge, word: str, changed: Payload) -> None:
    event, payload = pull(forge, word)
    payload.get("object_attributes", {}).pop("oldrev", None)
    (change,) = said(forge, event, payload | changed).changes
    assert isinstance(change, Pull)
    assert change.action is PullAction.UPDATED


@pytest.mark.parametrize(
    ("forge", "word", "changed"),
    [
        (Forge.GITHUB, "edited", {"changes": {"title": {"from": "old"}}}),
        (Forge.GITHUB, "labeled", {}),
        (Forge.GITEA, "edited", {"changes": {"title": {"from": "old"}}}),
        (Forge.GITLAB, "update", {"changes": {"title": {"previous": "old"}}}),
        (Forge.GITLAB, "approved", {}),
        (Forge.BITBUCKET_DC, "pr:modified", {"previousTarget": {"id": "refs/heads/main"}}),
    ],
)
def test_another_title_or_label_starts_no_work(forge: Forge, word: str, changed: Payload) -> None:
    event, payload = pull(forge, word)
    payload.get("object_attributes", {}).pop("oldrev", None)
    (change,) = said(forge, event, payload | changed).changes
    assert isinstance(change, Ignored)


@pytest.mark.parametrize(
    ("forge", "event"),
    [(Forge.GITHUB, "ping"), (Forge.BITBUCKET_DC, "diagnostics:ping"), (Forge.PLAIN, "ping")],
)
def test_a_ping_is_a_ping(forge: Forge, event: str) -> None:
    assert said(forge, event, {}).changes == (Ping(),)


@FORGES
def test_an_event_nobody_asked_for_is_ignored_by_name(forge: Forge) -> None:
    event = {Forge.BITBUCKET: "repo:fork", Forge.BITBUCKET_DC: "pr:comment:added"}.get(forge, "star")
    headers, body = webhook(forge, event, {})
    headers |= {"X-Hook-UUID": "x"} if forge is Forge.BITBUCKET else {}
    (change,) = parse(recognise(headers), headers, body).changes
    assert isinstance(change, Ignored)
    assert event in change.why


@GITEAS
def test_making_a_branch_makes_one_change_though_gitea_tells_it_twice(forge: Forge) -> None:
    created = said(forge, "create", {"ref": "new", "ref_type": "branch", "sha": NEW})
    pushed = said(forge, *push(forge, "refs/heads/new", before=NOTHING))
    assert [type(change) for change in created.changes + pushed.changes] == [Ignored, Pushed]


@GITEAS
@pytest.mark.parametrize(("kind", "prefix"), [("branch", "refs/heads/"), ("tag", "refs/tags/")])
def test_giteas_delete_is_taken_because_a_branch_is_deleted_without_a_push(
    forge: Forge, kind: str, prefix: str
) -> None:
    assert said(forge, "delete", {"ref": "old", "ref_type": kind}).changes == (Deleted(f"{prefix}old", None),)


@pytest.mark.parametrize("event", ["create", "delete"])
def test_githubs_create_and_delete_repeat_its_push(event: str) -> None:
    (change,) = said(Forge.GITHUB, event, {"ref": "x", "ref_type": "branch"}).changes
    assert isinstance(change, Ignored)


def test_every_change_of_a_push_to_bitbucket_is_told_in_order() -> None:
    changes = [
        cloud_change("refs/heads/a", OLD, NEW),
        cloud_change("refs/tags/b", NOTHING, NEW),
        cloud_change("refs/heads/c", OLD, NOTHING),
    ]
    assert said(Forge.BITBUCKET, "repo:push", {"push": {"changes": changes}}).changes == (
        Pushed("refs/heads/a", OLD, NEW),
        Pushed("refs/tags/b", None, NEW),
        Deleted("refs/heads/c", OLD),
    )


def test_lists_of_commits_that_were_cut_short_change_nothing() -> None:
    event, payload = push(Forge.BITBUCKET_DC)
    payload |= {"commits": [], "commitsTruncated": True, "changesTruncated": False}
    assert said(Forge.BITBUCKET_DC, event, payload).changes == (Pushed("refs/heads/main", OLD, NEW),)


def test_sha256_repositories_are_understood() -> None:
    event, payload = push(Forge.GITEA, before="0" * 64, after="C" * 64)
    assert said(Forge.GITEA, event, payload).changes == (Pushed("refs/heads/main", None, "c" * 64),)


def test_githubs_form_encoded_webhooks_are_read() -> None:
    event, payload = push(Forge.GITHUB)
    headers = {"X-GitHub-Event": event, "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    body = urlencode({"payload": json.dumps(payload)}).encode()
    assert parse(Forge.GITHUB, headers, body).changes == (Pushed("refs/heads/main", OLD, NEW),)


@FORGES
def test_the_forges_delivery_id_is_kept(forge: Forge) -> None:
    assert said(forge, *push(forge)).delivery_id == "d-1"


@FORGES
def test_a_delivery_without_a_usable_id_is_named_by_its_body(forge: Forge) -> None:
    headers, body = webhook(forge, *push(forge), delivery="x" * 300)
    headers = {name: value for name, value in headers.items() if value != "x" * 300}
    named = parse(forge, headers, body).delivery_id
    assert len(named) == 64
    assert parse(forge, headers, body).delivery_id == named
    assert parse(forge, headers, body + b" ").delivery_id != named


def test_gitlab_deliveries_that_share_an_event_id_are_not_taken_for_one() -> None:
    headers = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Event-UUID": "shared"}
    one = parse(Forge.GITLAB, headers, json.dumps(push(Forge.GITLAB, "refs/heads/a")[1]).encode())
    two = parse(Forge.GITLAB, headers, json.dumps(push(Forge.GITLAB, "refs/heads/b")[1]).encode())
    assert one.delivery_id != two.delivery_id


def test_nobodys_webhook_is_refused() -> None:
    with pytest.raises(BadPayload, match="no header says which forge"):
        recognise({"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("forge", "path", "value", "named"),
    [
        (Forge.GITHUB, ("after",), None, "after is not text"),
        (Forge.GITHUB, ("after",), "b" * 39, "after is not a whole commit hash"),
        (Forge.GITHUB, ("after",), "--upload-pack=x", "after is not a whole commit hash"),
        (Forge.GITHUB, ("ref",), "refs/heads/a b", "ref is not the name of a ref"),
        (Forge.GITHUB, ("ref",), "main", "ref is not the name of a ref"),
        (Forge.GITHUB, ("ref",), "refs/heads/../x", "ref is not the name of a ref"),
        (Forge.GITHUB, ("ref",), "refs/heads/\ud800", "ref is not the name of a ref"),
        (Forge.GITLAB, ("ref",), ["x"], "ref is not text"),
        (Forge.BITBUCKET, ("push",), [], "push is not an object"),
        (Forge.BITBUCKET, ("push", "changes"), {}, "push.changes is not a list"),
        (Forge.BITBUCKET, ("push", "changes", 0), 3, r"push.changes\[0\] is not an object"),
        (Forge.BITBUCKET, ("push", "changes", 0, "new", "target", "hash"), 1, r"push.changes\[0\].new.target.hash"),
        (Forge.BITBUCKET_DC, ("changes", 0, "ref"), None, r"changes\[0\].ref is not an object"),
    ],
)
def test_a_wrong_field_is_named(forge: Forge, path: tuple[str | int, ...], value: object, named: str) -> None:
    event, payload = push(forge)
    at: Any = payload
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    with pytest.raises(BadPayload, match=named):
        said(forge, event, payload)


@pytest.mark.parametrize("number", [0, -1, True, "7", 7.0, 2**64])
def test_a_pull_request_has_a_true_number(number: object) -> None:
    event, payload = pull(Forge.GITHUB, "opened")
    payload["pull_request"]["number"] = number
    with pytest.raises(BadPayload, match=r"pull_request\.number is not a"):
        said(Forge.GITHUB, event, payload)


def test_a_title_is_made_fit_to_store() -> None:
    event, payload = pull(Forge.GITHUB, "opened", title="a\0b\ud800" + "x" * 5000)
    (change,) = said(Forge.GITHUB, event, payload).changes
    assert isinstance(change, Pull)
    assert change.title.startswith("a\ufffdb?x")
    assert len(change.title) == 1000
