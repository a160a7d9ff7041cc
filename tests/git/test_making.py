"""Commits made in a bare mirror and in the fake: the same answers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from farmgate.git import Clash, FakeHistory, Mirror
from farmgate.lanes import fixes_in
from farmgate.settings import environment_for_child
from tests.git.repositories import RealRepository
from tests.git.test_history import Place

pytestmark = pytest.mark.needs("git")
AT = datetime(2026, 11, 25, 14, tzinfo=UTC)


@pytest.fixture(params=["mirror", "fake"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "fake":
        fake = FakeHistory()
        yield Place(fake, fake, lambda: None)
        return
    source = RealRepository(tmp_path / "source.git")
    with Mirror(tmp_path / "mirror.git", str(source.path)) as mirror:
        yield Place(source, mirror, mirror.fetch)


def grown(place: Place, onto: str, *commits: str, back: bool = False) -> tuple[str, ...] | Clash:
    history = place.seen()
    assert isinstance(history, Mirror | FakeHistory)
    return history.grow(onto, commits, at=AT, back=back)


def test_a_pick_brings_what_its_commit_changed_and_nothing_else(place: Place) -> None:
    live = place.add("live", {"a": "1", "b": "1"})
    place.add("between", {"b": "2"})
    fix = place.add("the fix\n\nwith its reasons", {"a": "2"}, author="Grace")
    made = grown(place, live, fix)
    assert isinstance(made, tuple)
    (sha,) = made
    history = place.seen()
    assert (history.read(sha, "a"), history.read(sha, "b")) == (b"2", b"1")
    commit = history.commit(sha)
    assert commit.parents == (live,)
    assert (commit.author_name, commit.title, commit.committed_at) == ("Grace", "the fix", AT)
    assert commit.message.endswith(f"with its reasons\n\n(cherry picked from commit {fix})")
    assert history.patches([sha])[sha] == history.patches([fix])[fix]


def test_the_same_wish_makes_the_same_commits(place: Place) -> None:
    live = place.add("live", {"a": "1"})
    one, two = place.add("one", {"b": "1"}), place.add("two", {"c": "1"})
    made = grown(place, live, one, two)
    assert isinstance(made, tuple)
    assert len(made) == 2
    assert grown(place, live, one, two) == made
    assert place.seen().commit(made[1]).parents == (made[0],)


def test_a_commit_is_taken_back_and_its_patch_is_the_inverse(place: Place) -> None:
    place.add("first", {"a": "1"})
    bad = place.add("bad", {"a": "2", "new": "x"})
    head = place.add("later", {"b": "1"})
    made = grown(place, head, bad, back=True)
    assert isinstance(made, tuple)
    history = place.seen()
    assert (history.read(made[0], "a"), history.read(made[0], "new"), history.read(made[0], "b")) == (b"1", None, b"1")
    assert history.commit(made[0]).message == f'Revert "bad"\n\nThis reverts commit {bad}.'
    assert history.patches([made[0]])[made[0]].id == history.patches([bad])[bad].inverse
    assert isinstance(history, Mirror | FakeHistory)
    mails = history.mailbox(head, made[0]).decode()
    assert f"This reverts commit {bad}." in mails
    assert 'Subject: [PATCH] Revert "bad"' in mails


def test_what_is_gone_already_is_told_unless_something_else_is_taken_back(place: Place) -> None:
    place.add("first", {"a": "1"})
    red, undone = place.add("red", {"a": "2"}), place.add("undone", {"a": "1"})
    bad = place.add("bad", {"b": "bad"})
    gone = grown(place, bad, undone, red, back=True)
    assert gone == Clash(undone, f"{undone[:12]} (undone) is not in there any more: what it changed is gone already")
    made = grown(place, bad, bad, undone, red, back=True)
    assert isinstance(made, tuple)
    assert (place.seen().read(made[2], "a"), place.seen().read(made[2], "b")) == (b"1", None)


def test_what_conflicts_is_told_with_its_paths(place: Place) -> None:
    live = place.add("live", {"a": "1", "b": "1"})
    place.add("between", {"a": "2"})
    fix = place.add("fix", {"a": "3", "b": "3"})
    made = grown(place, live, fix)
    assert made == Clash(fix, f"{fix[:12]} (fix) conflicts in a")


def test_what_is_contained_already_is_told(place: Place) -> None:
    place.add("first", {"a": "1"})
    fix = place.add("fix", {"a": "2"})
    made = grown(place, fix, fix)
    assert isinstance(made, Clash)
    assert "contained already" in made.words


def test_a_merge_is_picked_as_all_that_it_brought(place: Place) -> None:
    live = place.add("live", {"a": "1"})
    side = place.add("side", {"b": "1"}, branch="side", parents=[live])
    more = place.add("more", {"c": "1"}, branch="side")
    merge = place.add("merge", {"b": "1", "c": "1"}, parents=[live, more])
    made = grown(place, live, merge)
    assert isinstance(made, tuple)
    history = place.seen()
    assert (history.read(made[0], "b"), history.read(made[0], "c")) == (b"1", b"1")
    assert side != more


def test_a_first_commit_can_be_picked(place: Place) -> None:
    live = place.add("live", {"a": "1"})
    other = place.add("another beginning", {"z": "1"}, branch="other", parents=[])
    made = grown(place, live, other)
    assert isinstance(made, tuple)
    assert place.seen().read(made[0], "z") == b"1"


def test_a_made_commit_outlives_a_fetch_that_prunes(tmp_path: Path) -> None:
    source = RealRepository(tmp_path / "source.git")
    live = source.add("live", {"a": "1"})
    fix = source.add("fix", {"a": "2"}, branch="fix", parents=[live])
    with Mirror(tmp_path / "mirror.git", str(source.path)) as mirror:
        mirror.fetch()
        made = mirror.grow(live, [fix], at=AT)
        assert isinstance(made, tuple)
        mirror.keep("refs/farmgate/hotfix-1/main", made[0])
        source.point("refs/heads/fix", None)
        mirror.fetch()
        assert mirror.refs()["refs/farmgate/hotfix-1/main"] == made[0]
        assert mirror.commit(made[0]).title == "fix"


def test_what_is_taken_back_comes_to_the_branch_as_mails(tmp_path: Path) -> None:
    """On real git: the branch moved on, `git am` applies it, and it is still known by what it says."""
    source = RealRepository(tmp_path / "source.git")
    source.add("first", {"a": "1\n2\n3\n4\n5\n6\n7\n8\n", "kept": "1"})
    bad = source.add("bad: \u00fcber `all`\n\nReally.", {"a": "1\n2\n3\nX\n5\n6\n7\n8\n", "new": b"\x00\xff" * 40})
    head = source.add("later", {"kept": "2"})
    with Mirror(tmp_path / "mirror.git", str(source.path)) as mirror:
        mirror.fetch()
        made = mirror.grow(head, [bad], at=AT, back=True)
        assert isinstance(made, tuple)
        mirror.keep("refs/farmgate/revert-1/main", made[0])
        source.add("even later", {"more": "1"})
        mails = mirror.mailbox(head, made[0])
        clone = tmp_path / "clone"
        for command in (("clone", "-q", str(source.path), str(clone)), ("-C", str(clone), "am", "-q", "-3")):
            env = {**environment_for_child(), "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org"}
            subprocess.run(["git", *command], input=mails, env=env, check=True, capture_output=True)
        source.git("fetch", "-q", str(clone), "HEAD:main")
        mirror.fetch()
        taken = mirror.resolve("main")
        assert (mirror.read(taken, "a"), mirror.read(taken, "new")) == (b"1\n2\n3\n4\n5\n6\n7\n8\n", None)
        assert mirror.read(taken, "more") == b"1"
        assert fixes_in(mirror.commit(taken).message) == (bad,)
        assert mirror.commit(taken).title == mirror.commit(made[0]).title
