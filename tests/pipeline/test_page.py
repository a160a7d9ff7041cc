"""The reference page and the schema, against what is read."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import ValidationError, validate

from farmgate.documents import read
from farmgate.errors import BadDocument
from farmgate.pipeline import parse
from farmgate.pipeline.builtin import BUILT_IN, NAMES, built_in
from farmgate.pipeline.expanding import expanded
from farmgate.pipeline.schema import schema, schema_text, template_schema
from farmgate.pipeline.templates import Found, problems_of
from farmgate.pipeline.use import UseFile
from scheduler import claims
from workers import run

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "pipeline.md").read_text()
FENCES = re.findall(r"^```(\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
GOOD = [text for kind, text in FENCES if kind == "yaml"]
USED = [text for kind, text in FENCES if kind == "yaml-used"]
(TEMPLATE,) = [text for kind, text in FENCES if kind == "yaml-template"]
REFUSED = [(text, FENCES[index + 1][1]) for index, (kind, text) in enumerate(FENCES) if kind == "yaml-refused"]


@pytest.mark.parametrize("text", GOOD)
def test_the_examples_of_the_page_are_pipelines(text: str) -> None:
    assert parse(text).jobs


@pytest.mark.parametrize(("text", "answer"), REFUSED)
def test_the_problems_of_the_page_are_told_as_it_says(text: str, answer: str) -> None:
    with pytest.raises(BadDocument) as refusal:
        parse(text)
    assert str(refusal.value) + "\n" == answer


def test_the_page_has_examples() -> None:
    assert len(GOOD) >= 3
    assert len(REFUSED) >= 2


class OnePage:
    """A farm whose templates are all that of the page; it remembers which was asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []

    def find(self, use: UseFile, *, nested: bool) -> Found:
        self.asked.append(use.model_dump(exclude_none=True))
        return Found(TEMPLATE, "team-python.yml", {"name": "team-python"})


def test_what_the_page_uses_is_asked_for_by_version_or_by_revision() -> None:
    farm = OnePage()
    for text in USED:
        assert parse(text, templates=farm).jobs
        validate(read(text, "x").data, schema())
    assert farm.asked == [
        {"template": "team-python", "version": 3},
        {"repository": "platform", "path": "templates/python.yml", "revision": "v1.4"},
    ]


def test_the_template_of_the_page_is_one() -> None:
    text = TEMPLATE
    name, problems = problems_of(text, "t.yml", BUILT_IN)
    assert (name, problems) == ("team-python", ())
    validate(read(text, "t.yml").data, template_schema())


@pytest.mark.parametrize("text", GOOD)
def test_the_examples_of_the_page_fit_the_schema(text: str) -> None:
    validate(read(text, "x").data, schema())


@pytest.mark.parametrize("name", NAMES)
def test_the_built_in_templates_fit_the_schema_and_so_does_what_they_become(name: str) -> None:
    validate(read(built_in(name).text, name).data, template_schema())
    given = "parameters: {name: shop}\n" if name == "container-service" else ""
    validate(read(expanded(f"use: {name}\ntier: strict\n{given}"), name).data, schema())


@pytest.mark.parametrize(
    "text",
    [
        "jobs: {a: {steps: [x], timout: 1m}}",
        "jobs: {a: {steps: [x], timeout: soon}}",
        "jobs: {a: {steps: [x], cpus: many}}",
        "jobs: {a: {steps: [{name: x}]}}",
        "jobs: {a: {steps: [x], when: {result: perhaps}}}",
        "jobs: {a: {steps: [x], services: {b: 3}}}",
        "jobs: {}",
    ],
)
def test_the_schema_refuses_what_a_farm_refuses(text: str) -> None:
    with pytest.raises(ValidationError):
        validate(read(text, "x").data, schema())
    with pytest.raises(BadDocument):
        parse(text)


def test_the_page_names_every_key() -> None:
    made, template = schema(), template_schema()
    definitions = template["$defs"] | made["$defs"] | {"file": made, "template": template}
    keys = {key for definition in definitions.values() for key in definition.get("properties", {})}
    assert {"image", "steps", "pool", "jobs"} <= keys
    assert {key for key in keys if f"`{key}`" not in PAGE and f"{key}:" not in PAGE} == set()


def test_the_schema_is_not_stale() -> None:
    written = ROOT / "schemas" / "pipeline.schema.json"
    assert written.read_text() == schema_text(), "run: python -m farmgate.pipeline > schemas/pipeline.schema.json"
    command = [sys.executable, "-m", "farmgate.pipeline"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode() == schema_text()


@pytest.mark.parametrize("given", [claims.variables, run._order])
def test_the_page_names_each_variable_that_a_step_is_given(given: Callable[..., object]) -> None:
    names = set(re.findall(r'"((?:FARMGATE|CI|HOME|TMPDIR)\w*)"', inspect.getsource(given)))
    assert len(names) > 3
    assert {name for name in names if f"`{name}`" not in PAGE} == set()
