"""From what was reported to runs, over real git."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection

from farmgate.store import repositories
from tests.scheduler.farm import ONE_JOB, TWO_JOBS, Farm

MAIN = "refs/heads/main"


def titles(farm: Farm, **query: object) -> list[str]:
    return [run["title"] for run in farm.runs(**query)]


def places(farm: Farm, branch: str = "main") -> list[tuple[int, str]]:
    """(position, title) of what stands in the branch."""
    with farm.store.reading() as connection:
        repository = repositories.by_name(connection, "shop")
        found = repositories.places(connection, repository.id, branch)
        commits = repositories.commits_of(connection, repository.id, [place.sha for place in found])
        return [(place.position, commits[place.sha].title) for place in found]


def test_the_first_look_runs_the_tip_of_the_default_branch_only(farm: Farm) -> None:
    for title in ("a", "b", "c"):
        farm.repository.add(title, {".farmgate.yml": ONE_JOB})
    farm.repository.add("side", branch="feature")
    farm.connect()
    assert titles(farm) == ["c"]
    assert places(farm) == [(3, "c")]


def test_the_first_look_finds_the_default_branch_that_the_remote_names(farm: Farm) -> None:
    farm.repository.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    farm.repository.add("a", {".farmgate.yml": ONE_JOB}, branch="trunk")
    farm.connect()
    assert titles(farm) == ["a"]
    assert farm.http.get("/api/repositories/shop").json()["default_branch"] == "trunk"


def test_fifty_commits_of_one_push_become_fifty_runs_in_order(shop: Farm) -> None:
    wanted = [f"commit {number}" for number in range(50)]
    shop.push(*wanted)
    assert titles(shop) == ["first", *wanted]
    assert places(shop) == [(1, "first"), *((number + 2, title) for number, title in enumerate(wanted))]


def test_a_title_of_a_hundred_thousand_characters_is_kept_short(shop: Farm) -> None:
    shop.push("x" * 100_000, "a next one")
    long, following = titles(shop)[1:]
    assert long == "x" * 499 + "…"
    assert following == "a next one"


def test_of_a_push_over_the_limit_the_newest_run_and_all_are_recorded(farm: Farm) -> None:
    farm.repository.add("first", {".farmgate.yml": ONE_JOB})
    farm.connect()
    object.__setattr__(farm.context, "settings", farm.context.settings.model_copy(update={"push_limit": 3}))
    farm.push(*(f"commit {number}" for number in range(5)))
    assert titles(farm) == ["first", "commit 2", "commit 3", "commit 4"]
    assert len(places(farm)) == 6


def test_webhooks_that_come_out_of_order_give_each_commit_one_run(shop: Farm) -> None:
    start = shop.tip()
    a = shop.repository.add("a")
    b = shop.repository.add("b")
    c = shop.repository.add("c")
    for before, after in ((b, c), (start, a), (a, b)):
        assert shop.hook(MAIN, before, after).status_code == 202
        shop.settle()
    assert titles(shop) == ["first", "a", "b", "c"]
    assert [change["state"] for change in shop.intakes()] == ["done"] * 4


def test_several_pushes_share_one_fetch(shop: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[int] = []
    fetch = shop.mirrors.fetch

    def counted(*given: Any, **named: Any) -> None:
        fetched.append(1)
        fetch(*given, **named)

    monkeypatch.setattr(shop.mirrors, "fetch", counted)
    start = shop.tip()
    a = shop.repository.add("a")
    b = shop.repository.add("b")
    shop.hook(MAIN, start, a)
    shop.hook(MAIN, a, b)
    shop.settle()
    assert titles(shop) == ["first", "a", "b"]
    assert len(fetched) == 1


def test_a_new_branch_runs_what_no_known_branch_has(shop: Farm) -> None:
    start = shop.tip()
    shop.repository.git("update-ref", "refs/heads/feature", str(start))
    f = shop.repository.add("feature 1", branch="feature")
    assert shop.hook("refs/heads/feature", None, f).status_code == 202
    shop.settle()
    assert titles(shop, ref="feature") == ["feature 1"]
    assert places(shop, "feature") == [(2, "feature 1")]


def test_a_new_branch_at_a_commit_that_ran_runs_nothing_again(shop: Farm) -> None:
    start = str(shop.tip())
    shop.repository.git("update-ref", "refs/heads/release", start)
    shop.hook("refs/heads/release", None, start)
    shop.settle()
    assert titles(shop) == ["first"]
    assert places(shop, "release") == [(1, "first")]


def test_a_forced_push_marks_what_it_dropped_and_goes_on_from_what_stayed(shop: Farm) -> None:
    first = shop.tip()
    a, b = shop.push("a", "b")
    c = shop.repository.add("c", parents=[a])
    shop.hook(MAIN, b, c)
    shop.settle()
    assert titles(shop) == ["first", "a", "b", "c"]
    assert places(shop) == [(1, "first"), (2, "a"), (3, "c")]
    with shop.store.reading() as connection:
        gone = repositories.branches_of(connection, 1, b)
    assert [place.gone_at is not None for place in gone] == [True]
    assert first is not None


def test_a_branch_forced_back_and_pushed_again_has_its_commits_back(shop: Farm) -> None:
    a, b = shop.push("a", "b")
    shop.repository.git("update-ref", MAIN, a)
    shop.hook(MAIN, b, a)
    shop.settle()
    assert places(shop) == [(1, "first"), (2, "a")]
    shop.repository.git("update-ref", MAIN, b)
    shop.hook(MAIN, a, b)
    shop.settle()
    assert places(shop) == [(1, "first"), (2, "a"), (3, "b")]
    assert titles(shop) == ["first", "a", "b"]


def test_a_branch_replaced_by_an_unrelated_history_starts_anew(shop: Farm) -> None:
    old = shop.tip()
    new = shop.repository.add("island", {".farmgate.yml": ONE_JOB}, parents=[])
    shop.hook(MAIN, old, new)
    shop.settle()
    assert places(shop) == [(1, "island")]


def test_a_push_that_was_forced_away_before_the_fetch_is_recorded(shop: Farm) -> None:
    start = shop.tip()
    shop.repository.add("lost")
    lost = shop.tip()
    kept = shop.repository.add("kept", parents=[str(start)])
    shop.hook(MAIN, start, lost)
    shop.hook(MAIN, lost, kept)
    shop.settle()
    assert titles(shop) == ["first", "kept"]
    assert [change["state"] for change in shop.intakes()] == ["done"] * 3


def test_what_comes_from_the_side_of_a_backward_merge_has_no_place(shop: Farm) -> None:
    start = str(shop.tip())
    main = shop.push("on main")[0]
    side = shop.repository.add("local", branch="local", parents=[start])
    merge = shop.repository.add("merge", branch="local", parents=[side, main])
    shop.repository.git("update-ref", MAIN, merge)
    shop.hook(MAIN, main, merge)
    shop.settle()
    assert titles(shop, ref="main") == ["first", "on main", "local", "merge"]
    assert places(shop) == [(1, "first"), (2, "on main"), (3, "merge")]


def test_a_merge_carries_its_branch_as_one_first_parent_commit(shop: Farm) -> None:
    start = str(shop.tip())
    side = shop.repository.add("side", branch="feature", parents=[start])
    merge = shop.repository.add("merge", parents=[start, side])
    shop.hook(MAIN, start, merge)
    shop.settle()
    assert places(shop) == [(1, "first"), (2, "merge")]


def test_a_deleted_branch_is_forgotten_and_may_come_back(shop: Farm) -> None:
    f = shop.push("feature", branch="feature", files={".farmgate.yml": ONE_JOB})[0]
    shop.repository.git("update-ref", "-d", "refs/heads/feature")
    shop.hook("refs/heads/feature", f, None)
    shop.settle()
    assert "refs/heads/feature" not in shop.http.get("/api/repositories/shop").json()["refs"]
    shop.repository.git("update-ref", "refs/heads/feature", f)
    shop.hook("refs/heads/feature", None, f)
    shop.settle()
    assert titles(shop) == ["first", "feature"]


def test_a_branch_that_vanished_before_the_fetch_is_rejected_with_the_reason(shop: Farm) -> None:
    f = shop.repository.add("short lived", branch="feature")
    shop.hook("refs/heads/feature", None, f)
    shop.repository.git("update-ref", "-d", "refs/heads/feature")
    shop.settle()
    last = shop.intakes()[-1]
    assert last["state"] == "rejected"
    assert "vanished" in last["reason"]


def test_a_tag_runs_its_commit_once(shop: Farm) -> None:
    tip = str(shop.tip())
    shop.repository.git("update-ref", "refs/tags/v1", tip)
    for _ in range(2):
        shop.hook("refs/tags/v1", None, tip)
        shop.settle()
    assert [(run["ref"], run["trigger"]) for run in shop.runs()][1:] == [("refs/tags/v1", "tag")]


def test_a_pull_request_of_a_fork_runs_untrusted_and_is_no_candidate(shop: Farm) -> None:
    head = shop.repository.add("from a stranger", {".farmgate.yml": ONE_JOB}, branch="tmp")
    shop.repository.git("update-ref", "refs/pull/7/head", head)
    shop.repository.git("update-ref", "-d", "refs/heads/tmp")
    pull_request(shop, head, fork=True)
    run = shop.runs()[-1]
    assert (run["ref"], run["trigger"], run["trust"]) == ("refs/pull/7/head", "pull", "untrusted")
    shop.join().work()
    assert shop.run(run["id"])["state"] == "passed"
    assert shop.http.get(f"/api/commits/shop/{head}").json()["candidate"] is None


def test_a_pull_request_whose_head_vanished_is_rejected(shop: Farm) -> None:
    pull_request(shop, "a" * 40, fork=True)
    assert shop.intakes()[-1]["state"] == "rejected"


def pull_request(farm: Farm, head: str, *, fork: bool) -> None:
    """As GitHub tells it."""
    import hashlib
    import hmac
    import json

    from tests.scheduler.farm import SECRET

    base = {"repo": {"id": 1, "full_name": "o/shop", "clone_url": "https://x.invalid/o/shop"}, "ref": "main"}
    mine = {
        "repo": {
            "id": 2 if fork else 1,
            "full_name": "s/shop" if fork else "o/shop",
            "clone_url": "https://x.invalid/s/shop",
        }
    }
    pull = {"number": 7, "title": "T", "user": {"login": "stranger"}, "base": base | {"sha": "b" * 40}}
    pull["head"] = mine | {"ref": "tmp", "sha": head}
    body = json.dumps({"action": "opened", "number": 7, "pull_request": pull, "repository": base["repo"]}).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "pull_request",
        "X-GitHub-Delivery": "d-7",
        "X-Hub-Signature-256": signature,
    }
    answer = farm.stranger.post("/hooks/shop", content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    farm.settle()


def test_a_remote_out_of_reach_is_tried_again_until_it_answers(shop: Farm) -> None:
    start = shop.tip()
    sha = shop.repository.add("second")
    away = shop.repository.path.rename(shop.repository.path.with_suffix(".away"))
    shop.hook(MAIN, start, sha)
    shop.settle()
    assert shop.intakes()[-1]["state"] == "pending"
    assert shop.http.get("/api/repositories/shop").json()["poll_error"]
    away.rename(shop.repository.path)
    shop.advance(5)
    assert titles(shop) == ["first", "second"]


def test_a_remote_that_stays_away_is_rejected_with_gits_own_words(shop: Farm) -> None:
    start = shop.tip()
    sha = shop.repository.add("second")
    shop.repository.path.rename(shop.repository.path.with_suffix(".away"))
    shop.hook(MAIN, start, sha)
    for _ in range(60):
        shop.advance(70)
    last = shop.intakes()[-1]
    assert last["state"] == "rejected"
    assert "shop.git" in last["reason"]


def test_a_poll_finds_what_webhooks_missed(shop: Farm) -> None:
    shop.repository.add("unheard")
    shop.repository.add("of a branch", branch="feature")
    shop.advance(61)
    assert sorted(titles(shop)) == ["first", "of a branch", "unheard"]
    shop.repository.git("update-ref", "-d", "refs/heads/feature")
    shop.advance(61)
    assert "refs/heads/feature" not in shop.http.get("/api/repositories/shop").json()["refs"]


def test_a_push_to_an_empty_repository_runs_all_its_commits(farm: Farm) -> None:
    farm.connect()
    farm.push("a", "b", files={".farmgate.yml": ONE_JOB})
    assert titles(farm) == ["a", "b"]
    assert places(farm) == [(1, "a"), (2, "b")]


def test_a_push_that_the_first_look_overtook_runs_all_its_commits(farm: Farm) -> None:
    start = farm.repository.add("start", {".farmgate.yml": ONE_JOB})
    last = [farm.repository.add(title) for title in ("a", "b", "c")][-1]
    farm.connect()
    assert titles(farm) == ["c"]
    farm.hook(MAIN, start, last)
    farm.settle()
    assert sorted(titles(farm)) == ["a", "b", "c"]
    assert places(farm) == [(2, "a"), (3, "b"), (4, "c")]


def test_a_push_before_the_first_look_runs_all_its_commits(farm: Farm) -> None:
    start = farm.repository.add("start", {".farmgate.yml": ONE_JOB})
    last = [farm.repository.add(title) for title in ("a", "b", "c")][-1]
    body = {"name": "shop", "url": str(farm.repository.path), "secret": "a secret for tests"}
    farm.http.post("/api/repositories?wait=0", json=body)
    farm.hook(MAIN, start, last)
    farm.settle()
    assert titles(farm) == ["a", "b", "c"]
    assert places(farm) == [(1, "start"), (2, "a"), (3, "b"), (4, "c")]


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (None, "no such file"),
        ("", ":1:1"),
        ("jobs: [", ".farmgate.yml:"),
        ("job:\n  test:\n    steps: [x]\n", "did you mean"),
        ("jobs:\n  a:\n    needs: [b]\n    steps: [x]\n  b:\n    needs: [a]\n    steps: [x]\n", "wait for each other"),
        ("jobs:\n  a:\n    needs: [c]\n    steps: [x]\n", "c"),
        ("jobs:\n" + "".join(f"  j{n}:\n    steps: [x]\n" for n in range(10_000)), "10,000 jobs"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{c}: &{c} [*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p}]\n"
                for p, c in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            ".farmgate.yml:",
        ),
    ],
    ids=["missing", "empty", "not YAML", "unknown key", "cycle", "missing need", "10,000 jobs", "bomb"],
)
def test_a_pipeline_file_that_cannot_be_used_is_a_run_in_error_that_says_why(
    shop: Farm, file: str | None, told: str
) -> None:
    shop.push("bad", files={".farmgate.yml": file})
    run = shop.runs()[-1]
    assert run["state"] == "error"
    assert told in run["reason"]
    assert run["jobs"] == []
    shop.push("good", files={".farmgate.yml": TWO_JOBS})
    assert shop.runs()[-1]["state"] == "pending"


def test_a_reader_that_died_half_way_is_followed_by_one_that_goes_on(
    shop: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    from farmgate.store import runs
    from scheduler import recording

    monkeypatch.setattr(recording, "AT_ONCE", 2)
    create = runs.create
    made: list[str] = []

    def dying(connection: Connection, new: runs.NewRun, now: datetime) -> int | None:
        made.append(new.sha)
        if len(made) == 4:
            raise RuntimeError("killed")
        return create(connection, new, now)

    monkeypatch.setattr(runs, "create", dying)
    start = shop.tip()
    last = [shop.repository.add(f"c{number}") for number in range(5)][-1]
    shop.hook(MAIN, start, last)
    shop.settle()
    assert titles(shop) == ["first", "c0", "c1"]
    shop.advance(3)
    assert titles(shop) == ["first", "c0", "c1", "c2", "c3", "c4"]
    assert [position for position, _ in places(shop)] == [1, 2, 3, 4, 5, 6]
