"""What the ledger tells: differences by their places, links without anybody's password."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from farmgate.ledger import Difference, commit_link, differences

JSON: Any = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def test_a_difference_names_its_place() -> None:
    before = {"type": "docker", "instances": 2, "env": {"A": "1", "B": "2"}, "hosts": ["a"]}
    after = {"type": "docker", "instances": 4, "env": {"A": "1", "C": "3"}, "hosts": ["a", "b"]}
    assert differences(before, after) == [
        Difference("env.B", "2", None),
        Difference("env.C", None, "3"),
        Difference("hosts.1", None, "b"),
        Difference("instances", 2, 4),
    ]


def test_true_is_not_one() -> None:
    assert differences({"a": True}, {"a": 1}) == [Difference("a", True, 1)]


@given(JSON)
def test_what_is_the_same_differs_nowhere(value: Any) -> None:
    assert differences(value, value) == []


@given(JSON, JSON)
def test_backwards_it_is_the_same_the_other_way_round(one: Any, other: Any) -> None:
    there, back = differences(one, other), differences(other, one)
    assert [(each.path, each.after, each.before) for each in back] == [(e.path, e.before, e.after) for e in there]


@pytest.mark.parametrize(
    ("forge", "url", "link"),
    [
        ("github", "https://github.example/shop/web.git", "https://github.example/shop/web/commit/abc"),
        ("gitlab", "https://me:secret@git.example:8443/a/b/c.git/", "https://git.example:8443/a/b/c/-/commit/abc"),
        ("forgejo", "http://git.example/a/b", "http://git.example/a/b/commit/abc"),
        ("bitbucket", "https://b.example/a/b.git", "https://b.example/a/b/commits/abc"),
        ("github", "git@github.example:shop/web.git", None),
        ("github", "javascript://alert(1)", None),
        ("git", "https://git.example/a", None),
        ("github", "/srv/git/a.git", None),
    ],
)
def test_a_link_leads_to_the_commit_and_tells_no_password(forge: str, url: str, link: str | None) -> None:
    assert commit_link(forge, url, "abc") == link
