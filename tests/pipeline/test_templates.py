"""Templates: what they bring, what may be given, and what is wrong told at the template's own place."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from farmgate.documents import read, write
from farmgate.errors import BadDocument, NotFound
from farmgate.pipeline import Pipeline, parse
from farmgate.pipeline.builtin import NAMES, built_in
from farmgate.pipeline.expanding import ejected, expanded, same
from farmgate.pipeline.templates import Found
from farmgate.pipeline.use import UseFile


@dataclass
class Kept:
    """Templates by name."""

    texts: Mapping[str, str] = field(default_factory=dict)

    def find(self, use: UseFile, *, nested: bool) -> Found:
        if str(use) not in self.texts:
            raise NotFound(f"there is no template {str(use)!r}")
        return Found(self.texts[str(use)], f"{use}.yml", {"name": str(use), "revision": "1"})


SHOP = """\
template:
  name: shop
  tiers: [simple, strict]
  parameters:
    versions: {type: list, default: [1, 2]}
    command: {pattern: '[a-z ]+', description: what tests}
    wait: {type: number, default: 1.50}
    loud: {type: bool, default: false}
    size: {type: choice, choices: [small, large], default: small}
image: busybox:1
environment: {FROM: template, LOUD: "${{ parameters.loud }}"}
jobs:
  lint: {steps: [lint], tiers: strict}
  test:
    needs: [lint]
    matrix: {version: "${{ parameters.versions }}"}
    image: base:${{ matrix.version }}
    steps: ["${{ parameters.command }} ${{ parameters.wait }} ${{ parameters.size }} ${{ parameters.tier }}"]
  ask: {needs: [test, lint], approve: Ship it?}
"""


def opened(text: str, templates: str | Mapping[str, str] = SHOP) -> Pipeline:
    return parse(text, templates=Kept({"shop": templates} if isinstance(templates, str) else templates))


def said(text: str, templates: str | Mapping[str, str] = SHOP) -> list[str]:
    with pytest.raises(BadDocument) as refusal:
        opened(text, templates)
    return [str(problem) for problem in refusal.value.problems]


def test_a_template_brings_its_jobs_with_the_parameters_put_in() -> None:
    found = opened("use: shop\nparameters: {command: go}\n")
    assert list(found.jobs) == ["test (1)", "test (2)", "ask"]
    assert found.jobs["test (2)"].steps[0].run == "go 1.50 small simple"
    assert found.jobs["test (2)"].image == "base:2"
    assert found.jobs["test (2)"].environment == {"FROM": "template", "LOUD": "false", "MATRIX_VERSION": "2"}
    assert found.jobs["ask"].needs == ("test (1)", "test (2)")
    assert found.origin == {"templates": [{"name": "shop", "revision": "1"}]}


def test_a_tier_brings_more_jobs_and_what_needs_them() -> None:
    found = opened("use: shop\ntier: strict\nparameters: {command: go, versions: [7], loud: true}\n")
    assert list(found.jobs) == ["lint", "test (7)", "ask"]
    assert found.jobs["test (7)"].needs == ("lint",)
    assert found.jobs["lint"].image == "busybox:1"
    assert found.jobs["lint"].environment["LOUD"] == "true"


def test_the_file_adds_jobs_and_wins_over_the_templates_variables() -> None:
    found = opened(
        "use: shop\nimage: own:1\nenvironment: {FROM: file, MORE: x}\nparameters: {command: go}\n"
        "jobs:\n  end: {needs: test, steps: [x]}\n"
    )
    assert found.jobs["end"].needs == ("test (1)", "test (2)")
    assert found.jobs["end"].image == "own:1"
    assert found.jobs["end"].environment == {"FROM": "file", "MORE": "x"}
    assert found.jobs["test (1)"].environment["FROM"] == "file"
    assert found.jobs["test (1)"].environment["MORE"] == "x"


def test_what_is_put_in_is_never_a_placeholder_itself() -> None:
    template = "template: {name: shop, parameters: {a: {}}}\njobs: {x: {steps: ['${{ parameters.a }} $${{ b }}']}}\n"
    found = opened("use: shop\nparameters: {a: '$${{ matrix.v }}'}\n", template)
    assert found.jobs["x"].steps[0].run == "${{ matrix.v }} ${{ b }}"


def test_a_template_uses_another_and_hands_its_tier_on() -> None:
    outer = (
        "template: {name: outer, tiers: [simple, strict], parameters: {c: {}}}\n"
        "use: shop\nparameters: {command: '${{ parameters.c }}', versions: [9]}\n"
        "environment: {FROM: outer}\n"
        "jobs: {more: {steps: [y], needs: [lint, test]}}\n"
    )
    texts = {"shop": SHOP, "outer": outer}
    found = opened("use: outer\ntier: strict\nparameters: {c: go}\n", texts)
    assert list(found.jobs) == ["lint", "test (9)", "ask", "more"]
    assert found.jobs["test (9)"].environment["FROM"] == "outer"
    assert found.jobs["test (9)"].steps[0].run == "go 1.50 small strict"
    assert [one["name"] for one in found.origin["templates"]] == ["outer", "shop"]
    assert opened("use: outer\nparameters: {c: go}\n", texts).jobs["more"].needs == ("test (9)",)


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("use: shop\n", [".farmgate.yml:1:1: template 'shop' needs parameter 'command' (what tests)"]),
        (
            "use: shop\nparameters: {comand: go}\n",
            [
                ".farmgate.yml:2:1: template 'shop' needs parameter 'command' (what tests)",
                ".farmgate.yml:2:14: template 'shop' has no parameter 'comand' (did you mean 'command'?)",
            ],
        ),
        (
            "use: shop\nparameters: {command: 'rm -rf $HOME'}\n",
            [".farmgate.yml:2:23: parameter 'command' is wrong: 'rm -rf $HOME' does not fit [a-z ]+ (what tests)"],
        ),
        (
            "use: shop\nparameters: {command: a, wait: soon, loud: 1, size: huge, versions: 3}\n",
            [
                ".farmgate.yml:2:32: parameter 'wait' must be a number, but is 'soon'",
                ".farmgate.yml:2:44: parameter 'loud' must be true or false, but is the number 1",
                ".farmgate.yml:2:53: parameter 'size' must be one of small, large, but is 'huge'",
                ".farmgate.yml:2:69: parameter 'versions' must be a list, but is the number 3",
            ],
        ),
        (
            "use: shop\ntier: strickt\nparameters: {command: a}\n",
            [".farmgate.yml:2:7: template 'shop' has no tier 'strickt' (did you mean 'strict'?)"],
        ),
        (
            "use: shop\nparameters: {command: a}\njobs:\n  test: {steps: [x]}\n",
            [
                (
                    ".farmgate.yml:4:3: template 'shop' has a job 'test' already (take another name, or write the "
                    "template's jobs into this file: farmgate pipeline eject)"
                )
            ],
        ),
        (
            "use: shop\nparameters: {command: a}\njobs:\n  x: {steps: [x], needs: tset}\n",
            [
                ".farmgate.yml:4:26: job 'x' needs 'tset', which is not a job of this file (did you mean 'test'?)",
            ],
        ),
        ("use: shpo\n", [".farmgate.yml:1:6: there is no template 'shpo'"]),
        (
            "use: shop@0\n",
            [".farmgate.yml:1:6: use: 'shop@0': after the '@' stands a version of the template, such as shop@3"],
        ),
        (
            "use: {repository: a, path: b}\n",
            [".farmgate.yml:1:6: use: names either 'template', or 'repository', 'path' and 'revision'"],
        ),
        (
            "parameters: {a: 1}\njobs: {a: {steps: [x]}}\n",
            [".farmgate.yml:1:1: 'parameters' is for a template: name it with 'use'"],
        ),
        ("tier: a\njobs: {a: {steps: [x]}}\n", [".farmgate.yml:1:1: 'tier' is for a template: name it with 'use'"]),
    ],
)
def test_what_is_wrong_with_its_use_is_told_in_the_file(text: str, answers: list[str]) -> None:
    assert said(text) == answers


HEAD = "template: {name: shop, tiers: [a, b], parameters: {p: {default: 1}}}\n"


@pytest.mark.parametrize(
    ("template", "answers"),
    [
        ("jobs: {a: {steps: [x]}}\n", ["1:1: this is not a template: a template begins with 'template:'"]),
        (HEAD, ["1:1: needs 'jobs' with at least one job (or 'use', a template that brings some)"]),
        (HEAD + "jobs:\n  a: {steps: [x], timout: 1m}\n", ["3:19: unknown key 'timout' in jobs.a"]),
        (
            HEAD + "jobs:\n  a: {steps: ['${{ parameters.q }}']}\n",
            ["3:15: ${{ parameters.q }}: parameters has no 'q'"],
        ),
        (HEAD + "jobs:\n  a: {steps: ['${{ matrix.q }}']}\n", ["3:15: ${{ matrix.q }}: there is no matrix here"]),
        (HEAD + "jobs:\n  a: {steps: [x], tiers: c}\n", ["3:26: 'c' is not a tier"]),
        (
            HEAD + "jobs:\n  a: {steps: [x], tiers: 3}\n",
            ["3:26: 'tiers' is a list of tiers, such as [standard, strict]"],
        ),
        (HEAD + "jobs:\n  a: {steps: [x], tiers: b}\n", ["3:3: no job is left in tier 'a'"]),
        ("template: {name: shop, parameters: {p: {type: choice}}}\njobs: {a: {steps: [x]}}\n", ["1:40: template."]),
        (
            "template: {name: shop, parameters: {p: {type: number, default: x}}}\njobs: {a: {steps: [x]}}\n",
            ["1:64: the default of parameter 'p' must be a number, but is 'x'"],
        ),
        ("template: {name: shop, parameters: {p: {pattern: '(a+)+'}}}\njobs: {a: {steps: [x]}}\n", ["1:50: template."]),
        ("template: {name: shop, tier: x}\njobs: {a: {steps: [x]}}\n", ["1:11: template: tier 'x' is not one of"]),
        ("template: {name: shop\n", ["1:11: not YAML"]),
    ],
)
def test_what_is_wrong_in_a_template_is_told_there_with_where_it_was_used(template: str, answers: list[str]) -> None:
    found = said("use: shop\n", template)
    assert len(found) == len(answers), found
    for problem, answer in zip(found, answers, strict=True):
        assert problem.startswith("shop.yml:" + answer)
        assert ", used at .farmgate.yml:1:6" in problem


def test_a_circle_of_templates_is_told_as_its_path() -> None:
    texts = {
        name: f"template: {{name: {name}}}\nuse: {other}\n" for name, other in [("a", "b"), ("b", "c"), ("c", "b")]
    }
    assert said("use: a\n", texts) == [
        (
            "c.yml:2:6: these templates use each other: 'b' uses 'c' uses 'b', used at b.yml:2:6, used at a.yml:2:6, "
            "used at .farmgate.yml:1:6"
        )
    ]


def test_templates_are_used_five_deep_and_no_deeper() -> None:
    texts = {f"t{at}": f"template: {{name: t{at}}}\nuse: t{at + 1}\n" for at in range(1, 6)}
    texts["t5"] = "template: {name: t5}\njobs: {a: {steps: [x]}}\n"
    assert list(opened("use: t1\n", texts).jobs) == ["a"]
    texts["t0"] = "template: {name: t0}\nuse: t1\n"
    (problem,) = said("use: t0\n", texts)
    assert problem.startswith("t4.yml:2:6: templates are used more than 5 deep: 't0' uses 't1' uses")


def test_two_templates_with_the_same_job_are_told() -> None:
    texts = {
        "a": "template: {name: a}\nuse: b\njobs:\n  x: {steps: [x]}\n",
        "b": "template: {name: b}\njobs: {x: {steps: [y]}}\n",
    }
    assert said("use: a\n", texts) == ["a.yml:4:3: template 'b' has a job 'x' already, used at .farmgate.yml:1:6"]


def test_a_small_template_does_not_become_a_large_pipeline() -> None:
    places = " ".join(["${{ parameters.p }}"] * 4000)
    template = f"template: {{name: shop, parameters: {{p: {{}}}}}}\njobs: {{a: {{steps: ['{places}']}}}}\n"
    (problem,) = said(f"use: shop\nparameters: {{p: {'x' * 10_000}}}\n", template)
    assert "becomes too large" in problem


# --- the built-in ones, expanding and ejecting -----------------------------------------------------------------------


VALUES: dict[str, dict[str, list[object]]] = {
    "python-service": {
        "python": [["3.11", "3.13"]],
        "test": ["tox", "a\nb: 'c' \"d\" # e\n"],
        "coverage": [92.5],
        "variant": ["alpine"],
        "sources": [["src", "!src/x"]],
        "timeout": ["1h"],
    },
    "node-service": {"node": [["20", "22"]], "junit": [["out/*.xml"]], "lint": ["true"], "output": [["site/**"]]},
    "go-service": {"cgo": [True], "go": [["1.22", "1.23"]], "packages": ["./cmd/..."]},
    "static-site": {"image": ["alpine:3"], "largest": [10, 0.5], "output": ["_site"]},
    "container-service": {"name": ["shop", "team/shop"], "test": ["make test"], "context": ["app"]},
}


def every_use() -> list[str]:
    found = []
    for name in NAMES:
        tiers = read(built_in(name).text, name).data["template"]["tiers"]
        always = {"name": "shop"} if name == "container-service" else {}
        ways = [{**always, parameter: value} for parameter, values in VALUES[name].items() for value in values]
        ways.append({**always, **{parameter: values[-1] for parameter, values in VALUES[name].items()}})
        for tier, given in itertools.product((*tiers, None), (always, *ways)):
            head = {"use": name} | ({"tier": tier} if tier else {}) | ({"parameters": given} if given else {})
            found.append(write(head))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_built_in_template_says_what_each_parameter_is_for(name: str) -> None:
    section = read(built_in(name).text, name).data["template"]
    assert section["name"] == name
    assert section["tiers"] == ["simple", "standard", "strict"]
    assert all(parameter["description"] for parameter in section["parameters"].values())


@pytest.mark.parametrize("name", NAMES)
def test_stricter_tiers_only_add(name: str) -> None:
    given = "parameters: {name: shop}\n" if name == "container-service" else ""
    sizes = [set(parse(f"use: {name}\ntier: {tier}\n{given}").jobs) for tier in ("simple", "standard", "strict")]
    assert sizes[0] <= sizes[1] <= sizes[2]
    assert sizes[0] != sizes[2]


def test_every_built_in_template_expands_and_ejects_to_the_same_pipeline() -> None:
    uses = every_use()
    assert len(uses) > 80
    for text in uses:
        wanted = parse(text)
        assert same(parse(expanded(text)), wanted), text
        out = ejected(text)
        assert not out.anew
        assert "\nuse:" not in "\n" + out.text
        assert same(parse(out.text), wanted), text


def test_ejecting_keeps_the_comments_of_the_users_own_part() -> None:
    text = (
        "# our pipeline\nuse: shop # the template\nparameters:\n  # what we test with\n  command: go\n\n"
        "# variables\nenvironment:\n  A: '1' # one\n\njobs: # our own\n    # the end\n    end:\n        needs: test\n"
        "        steps: [x] # done\n"
    )
    templates = Kept({"shop": SHOP})
    out = ejected(text, templates=templates)
    assert not out.anew
    assert same(parse(out.text), parse(text, templates=templates))
    for comment in (
        "# our pipeline",
        "# variables",
        "# one",
        "# our own",
        "# the end",
        "# done",
        "# from template shop",
    ):
        assert comment in out.text
    assert "# the template" not in out.text
    assert out.text.index("    test:\n") < out.text.index("    # the end")


@pytest.mark.parametrize(
    "text",
    [
        "{use: shop, parameters: {command: go}}",
        "use: shop\nparameters: {command: &c go}\njobs:\n  x: {steps: [*c]}\n",
        "use: shop\nparameters: {command: go}\njobs: {x: {steps: [x]}}\n",
        "use: shop\r\nparameters: {command: go}\r\n",
    ],
)
def test_what_cannot_be_changed_in_place_is_written_anew(text: str) -> None:
    templates = Kept({"shop": SHOP})
    out = ejected(text, templates=templates)
    assert out.anew
    assert same(parse(out.text), parse(text, templates=templates))


def test_a_file_without_a_template_is_ejected_as_it_is() -> None:
    text = "jobs: {a: {steps: [x]}}"
    assert ejected(text).text == text


def test_matrices_are_written_out_as_jobs_of_their_own() -> None:
    text = (
        "jobs:\n  test:\n    matrix: {py: ['3.11', '3.12'], include: [{py: '3.13', more: x}]}\n"
        "    steps: ['run ${{ matrix.py }} $${{ kept }}']\n  slow: {steps: [x], matrix: {n: [1, 2], at_once: 1}}\n"
        "  end: {steps: [x], needs: [{job: test, artifacts: false}, slow]}\n"
    )
    found = parse(expanded(text, matrices=True))
    assert list(found.jobs) == ["test-3-11", "test-3-12", "test-3-13-x", "slow (1)", "slow (2)", "end"]
    assert found.jobs["test-3-12"].steps[0].run == "run 3.12 ${{ kept }}"
    assert found.jobs["test-3-13-x"].environment == {"MATRIX_PY": "3.13", "MATRIX_MORE": "x"}
    assert found.jobs["end"].needs == ("test-3-11", "test-3-12", "test-3-13-x", "slow (1)", "slow (2)")
