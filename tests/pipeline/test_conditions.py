"""Which jobs a run has, and the words that say what decided."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farmgate.clock import stopwatch
from farmgate.pipeline import globs
from farmgate.pipeline.conditions import Facts, inputs_match, unmet
from farmgate.pipeline.models import WhenSpec

PUSH = Facts(branch="feature/x", tag=None, event="push", changed=("docs/a.md", "src/shop/cart.py"))
TAG = Facts(branch=None, tag="v1.2", event="tag", changed=None)


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("main", ["main"], ["main2", "x/main", "Main", ""]),
        ("release/*", ["release/1", "release/.x"], ["release", "release/1/2", "prerelease/1"]),
        ("release/**", ["release/1", "release/1/2", "release"], ["releases/1"]),
        ("**/fix", ["fix", "a/fix", "a/b/fix"], ["a/fix/b", "prefix"]),
        ("a/**/b/**/c", ["a/b/c", "a/x/b/y/z/c", "a/b/b/c"], ["a/c", "a/b"]),
        ("**", ["a", "a/b", ""], []),
        ("*", ["a", ".a", ""], ["a/b"]),
        ("v?.*", ["v1.2", "vx."], ["v.1", "v12.3", "v/.1"]),
        ("v[0-9].[!a-c]", ["v1.d", "v9.9"], ["va.d", "v1.a"]),
        ("[]x]", ["]", "x"], ["y", "[]x]"]),
        ("[!]x]", ["y"], ["]", "x"]),
        ("[z-a]", [], ["a", "z", "-"]),
        ("[ab", ["[ab"], ["a"]),
        ("a.b+c(d)", ["a.b+c(d)"], ["axb+c(d)"]),
        ("*a*b*", ["ab", "xaxbx", "aab"], ["ba"]),
        ("[^a]", ["^", "a"], ["b"]),
        ("[a\\]", ["\\", "a"], ["b"]),
    ],
)
def test_a_pattern_fits_as_the_page_says(pattern: str, fitting: list[str], others: list[str]) -> None:
    assert [name for name in fitting if not globs.fits_one(pattern, name)] == []
    assert [name for name in others if globs.fits_one(pattern, name)] == []


@pytest.mark.parametrize(
    ("patterns", "taken", "left"),
    [
        (["src/**"], ["src/a.py", "src/a/b.py"], ["lib/src/a.py"]),
        (["**", "!**/*.md"], ["a.py", "docs/a.py"], ["README.md", "docs/a.md"]),
        (["!docs"], ["a.py", "src/docs.py"], ["docs/a.md", "docs"]),
        (["docs"], ["docs/a", "docs/a/b", "docs"], ["src/docs/a"]),
        (["docs/"], ["docs/a"], ["src/docs/a"]),
        (["./docs"], ["docs/a"], ["a"]),
        (["services/*/api"], ["services/shop/api/x.py"], ["services/api/x.py"]),
        (["*.md"], ["README.md"], ["docs/a.md"]),
        (["*"], ["a"], ["a/b"]),
        (["!docs/keep.md", "docs/**"], ["docs/a.md"], ["docs/keep.md"]),
        ([], [], ["a"]),
    ],
)
def test_a_path_is_taken_as_the_page_says(patterns: list[str], taken: list[str], left: list[str]) -> None:
    assert [path for path in taken if not inputs_match(patterns, path)] == []
    assert [path for path in left if inputs_match(patterns, path)] == []


@pytest.mark.parametrize(
    ("when", "facts", "said"),
    [
        (WhenSpec(), PUSH, None),
        (WhenSpec(result="failed"), PUSH, None),
        (WhenSpec(branch=("feature/*",)), PUSH, None),
        (
            WhenSpec(branch=("main", "release/*")),
            PUSH,
            "`when.branch` wants main or release/*, this is feature/x",
        ),
        (
            WhenSpec(branch=("!feature/**",)),
            PUSH,
            "`when.branch` wants anything, but not feature/**, this is feature/x",
        ),
        (WhenSpec(branch=("**",)), TAG, "`when.branch` wants **, this is tag v1.2"),
        (WhenSpec(tag=("v*",)), TAG, None),
        (WhenSpec(tag=("v*", "!v1.*")), TAG, "`when.tag` wants v*, but not v1.*, this is tag v1.2"),
        (WhenSpec(tag=("v*",)), PUSH, "`when.tag` wants v*, this is feature/x"),
        (WhenSpec(event=("push", "person")), PUSH, None),
        (WhenSpec(event=("pull", "tag")), PUSH, "`when.event` wants pull or tag, this is push"),
        (WhenSpec(paths=("src/**",)), PUSH, None),
        (
            WhenSpec(paths=("web/**", "*.toml")),
            PUSH,
            "`when.paths` wants web/** or *.toml, changed: docs/a.md, src/shop/cart.py",
        ),
        (WhenSpec(paths=("src/**",)), TAG, None),
        (WhenSpec(paths=("**",)), Facts("main", None, "push", ()), "`when.paths` wants **, nothing changed"),
        (WhenSpec(branch=("main",), event=("tag",)), PUSH, "`when.branch` wants main, this is feature/x"),
    ],
)
def test_the_first_condition_that_does_not_hold_decides(when: WhenSpec, facts: Facts, said: str | None) -> None:
    assert unmet(when, facts) == said


def test_the_words_stay_short_whatever_strangers_wrote() -> None:
    when = WhenSpec(branch=tuple(f"{'b' * 300}{at}" for at in range(200)))
    said = unmet(when, Facts("x" * 5000, None, "push", None))
    assert said is not None
    assert len(said) < 1000
    assert "or 195 more" in said


NAMES = st.text(alphabet="ab/*?.", max_size=10)


@settings(max_examples=500, deadline=None)
@given(NAMES, NAMES.map(lambda name: name.replace("*", "").replace("?", "")))
def test_patterns_fit_what_the_plain_translation_fits(pattern: str, name: str) -> None:
    plain = "/".join(
        "\0" if part == "**" else re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
        for part in pattern.removeprefix("./").rstrip("/").split("/")
    )
    while "\0/\0" in plain:
        plain = plain.replace("\0/\0", "\0")
    plain = re.sub(r"^\0/", "(?:.*/)?", plain)
    plain = re.sub(r"/\0$", "(?:/.*)?", plain)
    plain = plain.replace("/\0/", "/(?:.*/)?").replace("\0", ".*")
    assert globs.fits_one(pattern, name) == (re.fullmatch(plain, name) is not None)


@pytest.mark.parametrize("pattern", ["*a" * 240 + "*c", "**/a/" * 100 + "c", "*/" * 250, "a*b*" * 120 + "c"])
def test_no_pattern_makes_matching_slow(pattern: str) -> None:
    began = stopwatch()
    for name in ("a" * 4000, "a/" * 2000, "ab" * 2000):
        assert not globs.fits_one(pattern, name)
    assert stopwatch() - began < 20  # 0.02 s on an idle machine
