"""Policy files: what they become, and what is refused at which place."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from farmgate.errors import BadDocument
from farmgate.policy import CommandTarget, DockerTarget, LanePolicy, ProcessTarget, parse

FILE = """\
application: shop
target:
  type: docker
  image: python:3.12-slim
  artifact: dist/shop.tar.gz
  command: [python3, app.py]
  port: 8080
  environment: {GREETING: hello}
  instances: 2
lanes:
  staging:
    listen: 127.0.0.1:8101
    settle: 5s
    waves: [{share: 100, soak: 5s}]
    checks: [{http: /healthz, every: 1s}]
  production:
    follows: [staging]
    listen: 127.0.0.1:8102
    minimum_interval: 30s
    max_commits: off
    waves: [{share: 20, soak: 10s}, {share: 100}]
    checks: [{command: [./smoke]}]
    target: {environment: {STAGE: production}, instances: 4}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(BadDocument) as refused:
        parse(text)
    return [str(problem) for problem in refused.value.problems]


def test_a_lane_overrides_the_default_target_field_by_field() -> None:
    staging, production = parse(FILE)
    assert isinstance(staging.target, DockerTarget)
    assert isinstance(production.target, DockerTarget)
    assert (staging.target.instances, production.target.instances) == (2, 4)
    assert production.target.environment == {"GREETING": "hello", "STAGE": "production"}
    assert production.target.image == "python:3.12-slim"
    assert production.repository == "shop"
    assert production.max_commits is None
    assert production.waves[0].soak == timedelta(seconds=10)


def test_a_policy_comes_back_from_its_row_as_it_was() -> None:
    for policy in parse(FILE):
        assert LanePolicy.model_validate(policy.model_dump(mode="json")) == policy


def test_a_lane_of_another_type_takes_only_what_fits_it() -> None:
    text = FILE.replace("target: {environment", "target: {type: process, environment")
    _, production = parse(text)
    assert isinstance(production.target, ProcessTarget)
    assert production.target.command == ("python3", "app.py")
    text = FILE.replace("    listen: 127.0.0.1:8102\n", "").replace(
        "target: {environment: {STAGE: production}, instances: 4}",
        "target: {type: command, shift: [./s], restore: [./r]}",
    )
    assert isinstance(parse(text)[1].target, CommandTarget)


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("follows: [staging]", "follows: [production]", "17:15", "production follows itself"),
        ("follows: [staging]", "follows: [stagin]", "17:15", "no lane 'stagin' here (did you mean 'staging'?)"),
        ("    settle: 5s", "    follows: [production]", "13:14", "staging -> production -> staging"),
        ("follows: [staging]", "follows: [staging]\n    branch: next", "17:15", "are on different branches"),
        ("share: 20, soak", "share: 100, soak", "21:46", "a share must rise from wave to wave: 100 follows 100"),
        ("{share: 100}]", "{share: 90}]", "21:45", "the last wave must take everyone: 100, not 90"),
        ("instances: 2", "instances: 0", "9:14", "greater than or equal to 1"),
        ("instances: 2", "instances: 33", "9:14", "less than or equal to 32"),
        ("checks: [{http: /healthz, every: 1s}]", "checks: []", "14:32", "nothing watches this soak"),
        ("8102", "8101", "18:13", "127.0.0.1:8101 is the address of staging already"),
        ("    listen: 127.0.0.1:8102\n", "", "16:3", "needs 'listen'"),
        ("8102", "98102", "18:13", "is not an address to listen on"),
        ("  image: python:3.12-slim\n", "", "10:3", "say what runs: 'image'"),
        ("image:", "imaeg:", "4:3", "a docker target knows no 'imaeg' (did you mean 'image'?)"),
        ("command: [./smoke]", "command: [./smoke], http: /x", "22:14", "only one of them"),
        ("  port: 8080", "  port: 8080\n  shift: [x]", "8:3", "a docker target knows no 'shift'"),
        ("minimum_interval: 30s", "minimum_interval: 30", "19:23", "has no unit"),
        ("max_commits: off", "max_commits: 0", "20:18", "greater than or equal to 1"),
        ("application: shop", "application: Shop", "1:14", "is not a name"),
        ("{STAGE: production}", "{FARMGATE_SHA: x}", "23:28", "is reserved"),
        ("    settle: 5s", "    branch: -x..y", "13:13", "is not the name of a branch"),
    ],
)
def test_what_contradicts_itself_is_refused_at_its_place(old: str, new: str, place: str, words: str) -> None:
    assert old in FILE
    found = problems(FILE.replace(old, new, 1))
    assert any(words in told for told in found), found
    assert any(told.startswith(f"delivery.yml:{place}:") and words in told for told in found), found


def test_a_longer_circle_is_told_once_with_its_way() -> None:
    lanes = "".join(
        f"  {name}: {{follows: [{after}], listen: '127.0.0.1:{port}'}}\n"
        for name, after, port in (("a", "b", 1001), ("b", "c", 1002), ("c", "a", 1003))
    )
    found = problems(f"application: x\ntarget: {{type: process, command: [x]}}\nlanes:\n{lanes}")
    assert [told for told in found if "circle" in told] == [
        "delivery.yml:4:16: lanes follow each other in a circle: a -> b -> c -> a"
    ]


def test_the_example_of_the_documentation_is_a_policy() -> None:
    page = Path(__file__).parent.parent / "docs" / "policy.md"
    text = page.read_text().partition("```yaml\n")[2].partition("```")[0]
    staging, production = parse(text)
    assert production.follows == (staging.environment,)
