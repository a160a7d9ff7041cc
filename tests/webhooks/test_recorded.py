"""Every recorded payload of a real forge is understood."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from farmgate.errors import BadSignature
from farmgate.webhooks import Change, Deleted, Ignored, Ping, Pull, PullAction, Pushed, parse, recognise, verify
from tests.webhooks.builders import EVENT_HEADER, NOW

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "webhooks"
ABSENT = f"the recorded webhooks are not beside this checkout ({RECORDED.name}/)"

OPENED, UPDATED = PullAction.OPENED, PullAction.UPDATED
EXPECTED: dict[str, tuple[type, str, object]] = {
    "github/push.json": (Pushed, "refs/heads/master", "199eddf46df50de8d02e99bf1c5fdb4101338224"),
    "github/push_new_branch.json": (Pushed, "refs/heads/master", "6113728f27ae82c7b1a177c8d03f9e96e0adf246"),
    "github/push_branch_delete.json": (Deleted, "refs/heads/feature-branch", None),
    "github/push_tag.json": (Pushed, "refs/tags/v0.0.1", "d2b75aa7797ec26b088fa2dd527e9d2c052fcedd"),
    "github/ping.json": (Ping, "", None),
    "github/pull_request_opened.json": (Pull, "refs/pull/2/head", (OPENED, False)),
    "github/pull_request_synchronize.json": (Pull, "refs/pull/2/head", (UPDATED, False)),
    "github/pull_request_opened_fork.json": (Pull, "refs/pull/1/head", (OPENED, True)),
    "gitlab/push.json": (Pushed, "refs/heads/master", "2adc9465c4edfc33834e173fe89436a7cb899a1d"),
    "gitlab/push_merge.json": (Pushed, "refs/heads/master", "78a76ee6b4992a6baf64c59fc4c44c7323d60438"),
    "gitlab/branch_delete.json": (Deleted, "refs/heads/feature", None),
    "gitlab/tag_create.json": (Pushed, "refs/tags/v1.0.0", "2adc9465c4edfc33834e173fe89436a7cb899a1d"),
    "gitlab/merge_request_open.json": (Pull, "refs/merge-requests/3/head", (OPENED, False)),
    "gitlab/merge_request_update_new_commit.json": (Pull, "refs/merge-requests/3/head", (UPDATED, False)),
    "gitea/push.json": (Pushed, "refs/heads/master", "4522cbcefc20728a5b72b3a86af35e608622c514"),
    "gitea/create_tag.json": (Ignored, "", None),
    "gitea/delete_branch.json": (Deleted, "refs/heads/feature", None),
    "gitea/pull_request_opened.json": (Pull, "refs/pull/1/head", (OPENED, False)),
    "gitea/pull_request_opened_fork.json": (Pull, "refs/pull/2/head", (OPENED, True)),
    "gitea/pull_request_synchronized.json": (Pull, "refs/pull/2/head", (UPDATED, False)),
    "bitbucket/push.json": (Pushed, "refs/heads/master", "141977fedf5cf35aa290ac87d4b5177ac4cd9de1"),
    "bitbucket/branch_delete.json": (Deleted, "refs/heads/feature/test", None),
    "bitbucket/tag_create.json": (Pushed, "refs/tags/simple-tag", "7ef5981d59145c3ed300b1ab77b93907d33abe59"),
    "bitbucket/pullrequest_created.json": (Pull, "refs/heads/feature/test", (OPENED, False)),
    "bitbucket/pullrequest_created_fork.json": (Pull, "refs/heads/main", (OPENED, True)),
    "bitbucket/signed_push.json": (Pushed, "refs/heads/feature/webhook", "d7f300a32270053bdfd97a6d64113f58202c33e7"),
    "bitbucket-dc/push.json": (Pushed, "refs/heads/feature/BB-1", "fb522a6f08c7c7df337312e4e65ec1b57710672e"),
    "bitbucket-dc/pr_opened.json": (Pull, "refs/pull-requests/125/from", (OPENED, False)),
    "bitbucket-dc/ping.json": (Ping, "", None),
}


def facts(change: Change) -> tuple[type, str, object]:
    match change:
        case Pushed(ref, _, after):
            return Pushed, ref, after
        case Deleted(ref, _):
            return Deleted, ref, None
        case Pull():
            return Pull, change.fetch_ref, (change.action, change.from_fork)
        case _:
            return type(change), "", None


def events() -> dict[str, str]:
    table = (RECORDED / "README.md").read_text()
    return dict(re.findall(r"^\| (\S+\.json) \| ([^|]+?) \|", table, re.MULTILINE))


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recorded_webhook_is_understood(name: str) -> None:
    if not RECORDED.exists():
        pytest.skip(ABSENT)
    forge_name = name.partition("/")[0]
    forge = next(forge for forge in EVENT_HEADER if forge.value == forge_name)
    headers = {EVENT_HEADER[forge]: events()[name]}
    assert recognise(headers) is forge
    delivery = parse(forge, headers, (RECORDED / name).read_bytes())
    assert [facts(change) for change in delivery.changes] == [EXPECTED[name]]


def test_no_recorded_webhook_is_left_out() -> None:
    if not RECORDED.exists():
        pytest.skip(ABSENT)
    assert {str(path.relative_to(RECORDED)) for path in RECORDED.glob("*/*.json")} == EXPECTED.keys()


def test_the_published_signature_of_bitbucket_fits() -> None:
    if not RECORDED.exists():
        pytest.skip(ABSENT)
    body = (RECORDED / "bitbucket" / "signed_push.json").read_bytes()
    headers = {
        "X-Event-Key": "repo:push",
        "X-Hub-Signature": "sha256=f205c729821c6954aff2afe72b965c34015b4baf96ea8ddc2cc44999c014a035",
    }
    verify(recognise(headers), "Gkvl$k$wyNpQAF42", headers, body, now=NOW)
    with pytest.raises(BadSignature):
        verify(recognise(headers), "Gkvl$k$wyNpQAF42", headers, body + b"\n", now=NOW)
