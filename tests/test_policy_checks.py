"""Checks as a policy file writes them: each kind, and what contradicts itself, at its place."""

from __future__ import annotations

from datetime import timedelta

import pytest

from farmgate.errors import BadDocument
from farmgate.policy import (
    CanaryCheck,
    CommandCheck,
    ContainerCheck,
    HttpCheck,
    LanePolicy,
    LogCheck,
    PersonCheck,
    QueryCheck,
    parse,
)

FILE = """\
application: shop
target: {type: docker, image: "shop:1", command: [run], port: 80}
lanes:
  production:
    listen: 127.0.0.1:8101
    waves: [{share: 20, soak: 10m, checks: [WAVE]}, {share: 100}]
    checks: [LANE]
"""


def read(lane: str, wave: str = "") -> LanePolicy:
    (policy,) = parse(FILE.replace("LANE", lane).replace("WAVE", wave))
    assert LanePolicy.model_validate(policy.model_dump(mode="json")) == policy
    return policy


def test_each_kind_is_told_by_its_first_word() -> None:
    policy = read(
        '{http: /healthz}, {command: [smoke]}, {command: [smoke], image: "smoke:2", environment: {A: 1}},'
        '{prometheus: "up{sha=\\"{{sha}}\\"}", url: "http://p:9090/", below: 2, above: 0.5},'
        '{canary: "rate(x{r=\\"{{rollout}}\\"}[1m])", url: "http://p:9090", tolerance: 5%},'
        '{log: "panic|FATAL", most: 3}, {ask: [ada], question: "well?"}'
    )
    kinds = (HttpCheck, CommandCheck, ContainerCheck, QueryCheck, CanaryCheck, LogCheck, PersonCheck)
    assert tuple(type(check) for check in policy.checks) == kinds
    query, canary = policy.checks[3], policy.checks[4]
    assert isinstance(query, QueryCheck)
    assert isinstance(canary, CanaryCheck)
    assert (query.url, query.below, query.above, query.settles) == ("http://p:9090", 2, 0.5, timedelta(0))
    assert (canary.tolerance, canary.relative, canary.step) == (0.05, True, timedelta(minutes=1))
    assert canary.settles == timedelta(minutes=12)


def test_a_wave_may_ask_more_than_the_lane() -> None:
    policy = read("{http: /healthz}", "{ask: [ada, ben]}")
    assert [check.name for check in policy.checks_of(0)] == ["http /healthz = 200", "asks ada, ben"]
    assert [check.name for check in policy.checks_of(1)] == ["http /healthz = 200"]
    assert policy.person_of(1) is None


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("up", 0),
        ("rate(x[5m])", 300),
        ("rate(x[30s]) / rate(y[1h30m])", 5400),
        ("max_over_time(rate(x[1m])[10m:30s])", 600),
        ("x[500ms]", 0.5),
    ],
)
def test_a_query_looks_back_as_far_as_its_longest_range(query: str, seconds: float) -> None:
    check = QueryCheck(query=query, url="http://p", below=1)
    assert check.settles == timedelta(seconds=seconds)
    assert check.model_copy(update={"window": timedelta(seconds=7)}).settles == timedelta(seconds=7)


BAD = [
    ("{}", "needs one of http, command, prometheus, canary, log, ask"),
    ("{http: /x, log: y}", "only one of them: here are 'http' and 'log'"),
    ("fine", "a check is a mapping"),
    ('{prometheus: up, url: "http://p"}', "needs a bound"),
    ('{prometheus: up, url: "http://p", below: 1, above: 2}', "no number is above 2 and below 1"),
    ('{prometheus: up, url: "http://p", below: .nan}', "checks[0].below: must be a finite number"),
    ('{prometheus: "up{{x}}", url: "http://p", below: 1}', "{{x}} is not known here"),
    ('{prometheus: up, url: "http://a:b@p", below: 1}', "holds a login"),
    ('{prometheus: up, url: "http://p", below: 1, token: T}', "would send the secret T in the clear"),
    ('{prometheus: up, url: "http://p", below: 1, ca: x}', "is no certificate"),
    ('{prometheus: up, url: "ftp://p", below: 1}', "is not the address of a Prometheus"),
    ('{prometheus: "rate(x[7h])", url: "http://p", below: 1}', "looks back further than 6h"),
    ('{canary: up, url: "http://p"}', "asks the same of what is new and what is old"),
    ('{canary: "rate(x{r=\\"{{sha}}\\"}[1m])", url: "http://p", step: 30s}', "look back 1m overlap"),
    ('{canary: "x{{sha}}", url: "http://p", step: 1h}', "needs more than 6h for its samples"),
    ('{canary: "x{{sha}}", url: "http://p", samples: 3}', "greater than or equal to 6"),
    ('{canary: "x{{sha}}", url: "http://p", tolerance: much}', "neither a number nor a percentage"),
    ('{log: "("}', "is not a pattern of RE2's language"),
    ("{log: x, most: -1}", "greater than or equal to 0"),
    ("{command: [x], environment: {A: b}}", "give its 'image' as well"),
    ("{ask: [ada]}, {ask: [ben]}", "a wave asks people once"),
    ("{http: /x, expects: 3}", "did you mean 'expect'?"),
]


@pytest.mark.parametrize(("check", "words"), BAD)
def test_what_could_never_answer_is_refused_at_its_place(check: str, words: str) -> None:
    with pytest.raises(BadDocument) as refused:
        read(check)
    assert words in str(refused.value)
    assert "delivery.yml:7:" in str(refused.value)


def test_a_wave_asks_people_once_also_where_the_lane_does() -> None:
    with pytest.raises(BadDocument, match="a wave asks people once") as refused:
        read("{ask: [ada]}", "{ask: [ben]}")
    assert "delivery.yml:6:" in str(refused.value)


COMMAND = """\
application: shop
target: {type: command, shift: [x], restore: [x]}
lanes:
  production:
    waves: [{share: 100, soak: 10s}]
    checks: [CHECK]
"""


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("{http: /x}", "a command target has no instances to ask: write a whole URL"),
        ("{log: x}", "a command target keeps no logs"),
        ('{canary: "x{i=~\\"{{instances}}\\"}", url: "http://p"}', "tell releases apart by {{sha}}"),
    ],
)
def test_instances_are_asked_only_where_there_are_some(check: str, words: str) -> None:
    with pytest.raises(BadDocument) as refused:
        parse(COMMAND.replace("CHECK", check))
    assert words in str(refused.value)
    assert "delivery.yml:6:" in str(refused.value)


def test_releases_may_be_told_apart_by_their_commit_on_any_target() -> None:
    (policy,) = parse(COMMAND.replace("CHECK", '{canary: "x{s=\\"{{sha}}\\"}", url: "http://p"}'))
    assert isinstance(policy.checks[0], CanaryCheck)


def test_what_follows_a_culprit_is_one_of_three() -> None:
    text = FILE.replace("LANE", "{http: /x}").replace("WAVE", "")
    assert read("{http: /x}").on_culprit == "next"
    for word in ("hold", "revert", "next"):
        (policy,) = parse(text + f"    on_culprit: {word}\n")
        assert policy.on_culprit == word
    with pytest.raises(BadDocument, match="'panic' is not one of 'hold', 'revert' or 'next'"):
        parse(text + "    on_culprit: panic\n")
