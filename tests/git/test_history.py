"""One contract for every history: the mirror of a real repository, and the fake for simulations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path

import pytest

from farmgate.errors import NotAFile, NotInRepository
from farmgate.git import FakeHistory, History, Mirror
from farmgate.pipeline import globs
from tests.git.repositories import RealRepository

pytestmark = pytest.mark.needs("git")
ABSENT = "f" * 40


class Place:
    """A repository to write to, and its history to read, once `seen`."""

    def __init__(self, source: FakeHistory | RealRepository, history: History, fetch: Callable[[], None]) -> None:
        self.source = source
        self.history = history
        self.add = source.add
        self.point = source.point
        self.fetch = fetch

    def seen(self) -> History:
        self.fetch()
        return self.history


@pytest.fixture(params=["mirror", "fake"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "fake":
        fake = FakeHistory()
        yield Place(fake, fake, lambda: None)
        return
    source = RealRepository(tmp_path / "source.git")
    with Mirror(tmp_path / "mirror.git", str(source.path)) as mirror:
        yield Place(source, mirror, mirror.fetch)


def shas(history: History, after: str, limit: int = 100, **kept: object) -> list[str]:
    return [commit.sha for commit in history.first_parent(after, limit=limit, **kept)]  # type: ignore[arg-type]


def test_an_empty_repository_has_no_refs_and_no_commits(place: Place) -> None:
    history = place.seen()
    assert history.refs() == {}
    with pytest.raises(NotInRepository):
        history.resolve("main")
    with pytest.raises(NotInRepository):
        history.commit(ABSENT)


def test_a_commit_tells_who_when_and_what(place: Place) -> None:
    first = place.add("one", {"a": "1"})
    sha = place.add("Title line\n\nBody of\nthe message\n", {"b": "2"}, author="Grace Hopper")
    commit = place.seen().commit(sha)
    assert (commit.sha, commit.parents) == (sha, (first,))
    assert (commit.title, commit.message) == ("Title line", "Title line\n\nBody of\nthe message")
    assert (commit.author_name, commit.author_email) == ("Grace Hopper", "grace.hopper@example.org")
    assert commit.committed_at.tzinfo is UTC
    assert len(commit.tree) == 40


def test_commits_come_in_the_order_asked(place: Place) -> None:
    a, b, c = (place.add(name) for name in "abc")
    assert [commit.sha for commit in place.seen().commits([c, a, b, a])] == [c, a, b, a]


def test_refs_and_names_lead_to_commits(place: Place) -> None:
    sha = place.add("one")
    other = place.add("two", branch="feature/x")
    place.point("refs/tags/v1", sha)
    history = place.seen()
    assert history.refs() == {"refs/heads/main": sha, "refs/heads/feature/x": other, "refs/tags/v1": sha}
    for name in ("main", "refs/heads/main", "v1", "refs/tags/v1", sha):
        assert history.resolve(name) == sha
    assert history.resolve("feature/x") == other


@pytest.mark.parametrize(
    "name", ["nope", "refs/heads/nope", ABSENT, "--all", "main~1", "main^{tree}", "HEAD@{0}", "", "a b", "-h"]
)
def test_a_name_that_is_none_is_not_in_the_repository(place: Place, name: str) -> None:
    place.add("zero")
    place.add("one")
    with pytest.raises(NotInRepository):
        place.seen().resolve(name)


def test_a_vanished_branch_leaves_its_commits(place: Place) -> None:
    place.add("one")
    gone = place.add("two", branch="gone")
    place.seen()
    place.point("refs/heads/gone", None)
    history = place.seen()
    assert "refs/heads/gone" not in history.refs()
    assert history.commit(gone).title == "two"


def test_every_commit_of_a_push_is_seen_oldest_first(place: Place) -> None:
    before, *pushed = [place.add(name) for name in "abcde"]
    history = place.seen()
    assert shas(history, pushed[-1], before=before) == pushed
    assert shas(history, pushed[-1]) == [before, *pushed]


def test_of_more_than_the_limit_the_newest_are_seen(place: Place) -> None:
    commits = [place.add(name) for name in "abcde"]
    assert shas(place.seen(), commits[-1], limit=2) == commits[-2:]


def test_a_merge_counts_once_and_its_side_not_at_all(place: Place) -> None:
    base = place.add("base", {"a": "1"})
    side = place.add("side", {"b": "2"}, branch="side", parents=[base])
    main = place.add("main", {"c": "3"})
    merge = place.add("merge", {"b": "2"}, parents=[main, side])
    history = place.seen()
    assert shas(history, merge, before=base) == [main, merge]
    assert history.position(merge) == 3
    assert history.commit(merge).parents == (main, side)
    assert shas(history, merge, exclude=[side]) == [main, merge]  # the side reaches the base


def test_a_new_branch_is_seen_without_what_others_hold(place: Place) -> None:
    a, b = place.add("a"), place.add("b")
    c = place.add("c", branch="new", parents=[b])
    d = place.add("d", branch="new")
    assert shas(place.seen(), d, exclude=[b]) == [c, d]
    assert shas(place.seen(), d, exclude=[a]) == [b, c, d]


def test_after_a_forced_push_only_what_is_new_is_seen(place: Place) -> None:
    a = place.add("a", {"x": "1"})
    b = place.add("b", {"x": "2"})
    place.seen()
    c = place.add("c", {"x": "3"}, parents=[a])
    history = place.seen()
    assert history.resolve("main") == c
    assert shas(history, c, before=b) == [c]
    assert not history.is_ancestor(b, c)


def test_a_before_that_was_never_seen_hides_nothing(place: Place) -> None:
    a, b = place.add("a"), place.add("b")
    assert shas(place.seen(), b, before=ABSENT, exclude=[ABSENT]) == [a, b]


def test_positions_count_from_one(place: Place) -> None:
    commits = [place.add(name) for name in "abc"]
    assert [place.seen().position(sha) for sha in commits] == [1, 2, 3]


def test_ancestry_and_merge_base(place: Place) -> None:
    base = place.add("base")
    left = place.add("left")
    right = place.add("right", branch="right", parents=[base])
    alone = place.add("alone", branch="alone", parents=[])
    history = place.seen()
    assert history.merge_base(left, right) == base
    assert history.merge_base(left, alone) is None
    assert history.is_ancestor(base, right)
    assert history.is_ancestor(left, left)
    assert not history.is_ancestor(right, left)


def test_a_file_is_read_as_it_stood_at_a_commit(place: Place) -> None:
    old = place.add("one", {"dir/sub/file": b"\xff\x00old", ".farmgate.yml": "jobs"})
    new = place.add("two", {"dir/sub/file": "new", "empty": ""})
    history = place.seen()
    assert history.read(old, "dir/sub/file") == b"\xff\x00old"
    assert history.read(new, "dir/sub/file") == b"new"
    assert history.read(new, "empty") == b""
    assert history.read(old, "empty") is None


@pytest.mark.parametrize(
    "path", ["nope", "dir/nope", "file/below", "../file", "/file", "file/", "a\nb", "dir//file", "."]
)
def test_a_path_that_is_not_there_is_none(place: Place, path: str) -> None:
    sha = place.add("one", {"file": "x", "dir/file": "y"})
    assert place.seen().read(sha, path) is None


def test_a_folder_and_a_file_over_the_limit_are_refused(place: Place) -> None:
    sha = place.add("one", {"dir/file": "12345"})
    history = place.seen()
    with pytest.raises(NotAFile, match="is a folder"):
        history.read(sha, "dir")
    with pytest.raises(NotAFile, match="larger than the 4 bytes"):
        history.read(sha, "dir/file", limit=4)
    assert history.read(sha, "dir/file", limit=5) == b"12345"


def test_each_commit_tells_its_own_paths(place: Place) -> None:
    one = place.add("one", {"a": "1", "d/b": "1"})
    two = place.add("two", {"a": "2"}, parents=[one])
    side = place.add("side", {"s": "1"}, parents=[one])
    merge = place.add("merge", {"s": "1"}, parents=[two, side])
    place.point("refs/heads/main", merge)
    found = place.seen().paths_of([merge, ABSENT, two, one])
    told = {sha: list(paths) for sha, paths in found.items()}
    assert told == {one: ["a", "d/b"], two: ["a"], merge: ["s"]}
    assert dict(place.history.paths_of([])) == {}


def test_changed_paths_are_told_between_trees(place: Place) -> None:
    one = place.add("one", {"a": "1", "d/b": "1"})
    place.add("two", {"a": "2", "c d": "1"})
    three = place.add("three", {"a": "1", "d/b": None, "ü": "1"})
    history = place.seen()
    assert list(history.changed_paths(one, three)) == ["c d", "d/b", "ü"]
    assert list(history.changed_paths(None, one)) == ["a", "d/b"]
    assert list(history.changed_paths(one, one)) == []


def test_what_only_one_of_two_commits_contains_is_told_by_every_parent(place: Place) -> None:
    base = place.add("base")
    left = place.add("left", {"l": "1"})
    right = place.add("right", {"r": "1"}, branch="right", parents=[base])
    merge = place.add("merge", {"r": "1"}, parents=[left, right])
    alone = place.add("alone", branch="right", parents=[right])
    history = place.seen()
    assert {commit.sha for commit in history.apart(left, merge, limit=100)} == {right, merge}
    assert {commit.sha for commit in history.apart(merge, left, limit=100)} == {right, merge}
    assert {commit.sha for commit in history.apart(left, alone, limit=100)} == {left, right, alone}
    assert history.apart(left, left, limit=100) == ()
    assert len(history.apart(left, merge, limit=1)) == 1


def test_differences_say_what_is_there_before_and_after(place: Place) -> None:
    one = place.add("one", {"a": "1", "d/b": "1", "same": "1"})
    two = place.add("two", {"a": "2", "c d": "1", "ü": "x"})
    three = place.add("three", {"a": "1", "d/b": None})
    history = place.seen()
    there, nothing, back = history.differences([(one, two), (two, two), (two, three)])
    assert there.keys() == {"a", "c d", "ü"}
    assert nothing == {}
    assert back.keys() == {"a", "d/b"}
    assert there["a"].before == back["a"].after
    assert there["a"].after == back["a"].before
    assert there["a"].before != there["a"].after
    assert there["c d"].before is None
    assert there["c d"].after == there["a"].before, "the same content has the same hash"
    assert back["d/b"].after is None
    assert history.differences([]) == ()


def test_a_patch_has_the_same_id_wherever_it_is_applied(place: Place) -> None:
    base = place.add("base", {"a": "1\n", "b": "1\n"})
    change = place.add("change", {"a": "2\n"})
    place.add("else", {"b": "2\n"}, branch="other", parents=[base])
    picked = place.add("picked", {"a": "2\n"}, branch="other")
    different = place.add("different", {"a": "3\n"}, branch="third", parents=[base])
    empty = place.add("empty", branch="third")
    merge = place.add("merge", {"a": "2\n"}, parents=[change, picked])
    history = place.seen()
    found = history.patches([base, change, picked, different, empty, merge])
    assert found.keys() == {base, change, picked, different}
    assert found[change].id == found[picked].id
    assert found[change].id != found[different].id
    assert history.patches([]) == {}


def test_a_commit_that_takes_another_back_has_its_inverse_patch(place: Place) -> None:
    place.add("base", {"a": "1\n2\n3\n", "b": "1\n"})
    change = place.add("change", {"a": "1\ntwo\n3\n", "new": "x\n"})
    between = place.add("between", {"b": "2\n"})
    back = place.add("back", {"a": "1\n2\n3\n", "new": None})
    again = place.add("again", {"a": "1\ntwo\n3\n", "new": "x\n"})
    half = place.add("half", {"a": "1\n2\n3\n"})
    found = place.seen().patches([change, between, back, again, half])
    assert found[change].inverse == found[back].id
    assert found[back].inverse == found[change].id == found[again].id
    assert found[change].inverse not in (found[between].id, found[half].id)


def test_what_is_no_text_has_no_patch_id(place: Place) -> None:
    """Any change of a picture looks like any other one, so one would seem to take the other back."""
    picture = place.add("picture", {"a.png": b"\x00\x01", "text": "1\n"})
    other = place.add("other picture", {"a.png": b"\x00\x02"})
    text = place.add("text", {"text": "2\n"})
    assert place.seen().patches([picture, other, text]).keys() == {text}


def test_whatever_is_asked_of_an_absent_commit_is_refused(place: Place) -> None:
    sha = place.add("one")
    history = place.seen()
    questions: list[Callable[[], object]] = [
        lambda: history.commits([sha, ABSENT]),
        lambda: history.first_parent(ABSENT, limit=1),
        lambda: history.position(ABSENT),
        lambda: history.merge_base(sha, ABSENT),
        lambda: history.is_ancestor(ABSENT, sha),
        lambda: history.read(ABSENT, "a"),
        lambda: history.changed_paths(ABSENT, sha),
        lambda: history.patches([ABSENT]),
        lambda: history.commit("--help"),
        lambda: history.position("main"),
    ]
    for question in questions:
        with pytest.raises(NotInRepository):
            question()


# --- trees ----------------------------------------------------------------------------------------------------------

FILES = {
    "README.md": "r",
    "src/a.py": "a",
    "src/deep/b.py": "b",
    "src/deep/b.md": "m",
    "docs/x.md": "x",
    "tests/t.py": "t",
    ".hidden/c": "c",
}


def paths(history: History, sha: str, *patterns: str) -> list[str]:
    return [entry.path for entry in history.tree_entries(sha, patterns)]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["src"], ["src"]),
        (["src/"], ["src"]),
        (["src/**"], ["src"]),
        (["src/deep"], ["src/deep"]),
        (["**"], [".hidden", "README.md", "docs", "src", "tests"]),
        (["!docs/**"], [".hidden", "README.md", "src", "tests"]),
        (["src", "!**/*.md"], ["src/a.py", "src/deep/b.py"]),
        (["**/*.md"], ["README.md", "docs/x.md", "src/deep/b.md"]),
        (["*"], ["README.md"]),
        (["s*/*.py"], ["src/a.py"]),
        (["s*/**"], ["src"]),
        (["src/deep/**", "README.md"], ["README.md", "src/deep"]),
        (["absent", "src/absent.py"], []),
        ([], []),
    ],
)
def test_patterns_choose_from_a_tree(place: Place, patterns: list[str], expected: list[str]) -> None:
    sha = place.add("one", FILES)
    assert paths(place.seen(), sha, *patterns) == expected


def test_the_same_content_has_the_same_entries_and_another_has_others(place: Place) -> None:
    one = place.add("one", FILES)
    same = place.add("elsewhere", {"tests/t.py": "changed"})
    deep = place.add("deep below", {"src/deep/b.py": "changed"})
    moved = place.add("renamed", {"src/deep/b.py": None, "src/deep/c.py": "changed"})
    history = place.seen()
    wanted = ["src/**", "*.md"]
    entries = [history.tree_entries(sha, wanted) for sha in (one, same, deep, moved)]
    assert entries[0] == entries[1]
    assert len({tuple(found) for found in entries}) == 3


def test_what_is_told_of_a_tree_is_what_matching_every_path_would_tell(place: Place) -> None:
    """A folder told as one entry has no file below that the patterns refuse, and none is missed."""
    sha = place.add("one", FILES)
    history = place.seen()
    for patterns in (["src", "!src/deep"], ["**/deep/**"], ["**", "!**/*.py"], ["*/*"], ["src/**/b.*"], ["!src/a.py"]):
        told = paths(history, sha, *patterns)
        below = {path for path in FILES for one in told if path == one or path.startswith(f"{one}/")}
        assert below == {path for path in FILES if globs.fits(patterns, path, folders=True)}, patterns


def test_the_entries_of_an_unknown_commit_are_not_there(place: Place) -> None:
    place.add("one", FILES)
    with pytest.raises(NotInRepository):
        place.seen().tree_entries(ABSENT, ["**"])
