"""What a batch carries, told from histories: what it would drop, what cannot be taken back, what it silently undoes."""

from __future__ import annotations

from typing import Any

import pytest

from farmgate.git import FakeHistory
from scheduler.looking import look

LINES = "".join(f"{number}\n" for number in range(20))


class Told:
    """A history, and what is told of a batch of it, by the titles of the commits."""

    def __init__(self) -> None:
        self.history = FakeHistory()
        self.add = self.history.add
        self.root = self.add("root", {"a": LINES, "b": LINES, "c": LINES})

    def look(self, since: str, until: str, *patterns: str, fixed: frozenset[str] = frozenset()) -> dict[str, Any]:
        return look(self.history, since, until, patterns, fixed)

    def undone(self, since: str, until: str, **more: Any) -> list[tuple[str, list[str]]]:
        return [(each["title"], each["paths"]) for each in self.look(since, until, **more)["undone"]]


@pytest.fixture
def told() -> Told:
    return Told()


def test_an_ordinary_batch_carries_nothing_to_agree_to(told: Told) -> None:
    live = told.add("live", {"a": "1"})
    told.add("next", {"b": "2"})
    until = told.add("last", {"a": "2", "new": "x"})
    assert told.look(live, until, "migrations/**") == {"ancestor": True, "irreversible": [], "undone": []}


def test_a_candidate_that_does_not_contain_what_is_live_is_told(told: Told) -> None:
    live = told.add("live", {"a": "1"})
    other = told.add("other", {"b": "1"}, parents=[told.root])
    assert told.look(live, other)["ancestor"] is False


def test_a_cherry_pick_of_what_is_live_does_not_contain_it(told: Told) -> None:
    live = told.add("live", {"a": "1"})
    picked = told.add("live", {"a": "1"}, branch="other", parents=[told.root])
    assert told.look(live, picked)["ancestor"] is False


def test_what_a_history_does_not_hold_cannot_be_compared(told: Told) -> None:
    assert "cannot be compared" in told.look("f" * 40, told.root)["trouble"]


def test_a_commit_says_that_it_cannot_be_taken_back_also_from_a_merged_side(told: Told) -> None:
    live = told.add("live", {"a": "1"})
    side = told.add("drop it\n\nIrreversible:   drops  the column", {"s": "1"}, branch="side", parents=[live])
    until = told.add("merge", {"s": "1"}, parents=[live, side])
    (found,) = told.look(live, until)["irreversible"]
    assert (found["sha"], found["title"], found["why"]) == (side, "drop it", "drops the column")
    (back,) = told.look(until, live)["irreversible"]
    assert back["why"] == found["why"], "the way back crosses the same"


def test_a_path_of_the_policy_cannot_be_taken_back(told: Told) -> None:
    until = told.add("one way", {"db/one-way/1.sql": "drop"})
    (found,) = told.look(told.root, until, "db/one-way", "!**/README.md")["irreversible"]
    assert found["paths"] == ["db/one-way/1.sql"]
    assert told.look(told.root, until, "other/**")["irreversible"] == []


def test_a_strangers_words_are_cut_short_and_only_words(told: Told) -> None:
    until = told.add("x\n\nIrreversible: " + "y" * 5_000 + "\nIrreversible:\n")
    (found,) = told.look(told.root, until)["irreversible"]
    assert found["why"] == "y" * 200


def test_a_squash_on_an_old_base_undoes_what_is_live(told: Told) -> None:
    live = told.add("the fix", {"a": "fixed", "b": "fixed"})
    until = told.add("a feature", {"a": LINES, "b": LINES, "feature": "x"})
    assert told.undone(live, until) == [("the fix", ["a", "b"])]
    (found,) = told.look(live, until)["undone"]
    assert f"undone by {until[:12]}, which does not say so" in found["how"]


def test_what_was_undone_before_it_went_live_is_not_told_again(told: Told) -> None:
    told.add("the fix", {"a": "fixed"})
    live = told.add("a feature", {"a": LINES, "feature": "x"})
    until = told.add("next", {"b": "1"})
    assert told.undone(live, until) == []


def test_a_part_of_a_commit_that_is_undone_is_not_told(told: Told) -> None:
    live = told.add("the fix", {"a": "fixed", "b": "fixed"})
    assert told.undone(live, told.add("a feature", {"a": LINES, "feature": "x"})) == []


def test_what_is_taken_back_on_purpose_is_not_silent(told: Told) -> None:
    live = told.add("change", {"a": "changed\n"})
    by_word = told.add(f"back\n\nThis reverts commit {live}.", {"a": LINES, "more": "x"})
    by_patch = told.add("better so", {"a": LINES}, branch="patch", parents=[live])
    silent = told.add("better so", {"a": LINES, "more": "x"}, branch="silent", parents=[live])
    assert told.undone(live, by_word) == []
    assert told.undone(live, by_patch) == []
    assert told.undone(live, silent) == [("change", ["a"])]
    assert told.undone(live, silent, fixed=frozenset({live})) == [], "a person said so"


def test_a_new_file_that_was_moved_is_not_gone(told: Told) -> None:
    live = told.add("new", {"new": "content"})
    assert told.undone(live, told.add("move it", {"new": None, "moved": "content"})) == []
    assert told.undone(live, told.add("drop it", {"new": None, "a": "1"}, parents=[live])) == [("new", ["new"])]


def test_a_merge_that_keeps_only_its_own_side_drops_the_other(told: Told) -> None:
    live = told.add("live", {"a": "live"})
    side = told.add("side", {"b": "side", "s": "1"}, branch="side", parents=[told.root])
    ours = told.add("merge -s ours", {}, parents=[live, side])
    assert told.undone(live, ours) == [("merge -s ours", ["b", "s"])]
    clean = told.add("merge", {"b": "side", "s": "1"}, parents=[live, side])
    assert told.undone(live, clean) == []


def test_a_bad_merge_that_drops_what_is_live_is_told(told: Told) -> None:
    told.add("live", {"a": "live", "c": "live"})
    live = told.add("later", {"b": "1"})
    side = told.add("side", {"s": "1"}, branch="side", parents=[told.root])
    merge = told.add("bad merge", {"a": LINES, "c": LINES, "s": "1"}, parents=[live, side])
    assert ("bad merge", ["a", "c"]) in told.undone(live, merge)
    assert ("live", ["a", "c"]) in told.undone(live, merge)


def test_a_choice_between_two_sides_that_both_changed_a_path_is_nobodys_business(told: Told) -> None:
    live = told.add("live", {"a": "live"})
    side = told.add("side", {"a": "side"}, branch="side", parents=[told.root])
    assert told.undone(live, told.add("merge", {"a": "live"}, parents=[live, side])) == []
    assert told.undone(live, told.add("merge", {"a": "side"}, parents=[live, side])) == []


def test_what_git_puts_elsewhere_because_a_folder_was_moved_is_not_dropped(told: Told) -> None:
    told.add("folder", {"old/x": "x"})
    base = told.history.resolve("main")
    live = told.add("move the folder", {"old/x": None, "new/x": "x"})
    side = told.add("side", {"old/y": "y"}, branch="side", parents=[base])
    assert told.undone(live, told.add("merge", {"new/y": "y"}, parents=[live, side])) == []
