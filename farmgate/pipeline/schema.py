"""The JSON Schemas of the pipeline file and of templates, for editors.

Rules:
1. Generated: `python -m farmgate.pipeline > schemas/pipeline.schema.json`; a test fails when the file is stale. A farm
   serves them at `/schema/pipeline.json` and `/schema/template.json`, without a sign-in.
2. Within jobs (and anywhere in a template) a value may be `${{ ... }}`, whatever it becomes.
3. A schema refuses nothing that a farm takes; the farm refuses more than a schema can say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from farmgate.pipeline.file import JobFile, PipelineFile
from farmgate.pipeline.templates import TemplateHead
from farmgate.pipeline.values import Name

ADDRESS: Final = "/schema/pipeline.json"
_PLACEHOLDER: Final = {"type": "string", "pattern": r"\$\{\{.*\}\}"}
_FREE: Final = ({"type": "string"}, {"type": "string", "minLength": 1})


class TemplateJobFile(JobFile):
    """A job of a template, with the tiers that have it."""

    tiers: Annotated[
        tuple[Name, ...],
        BeforeValidator(lambda value: value),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = Field((), description="the tiers that have it; default: all")


class TemplateFile(TemplateHead):
    """Jobs that many repositories share, with parameters and tiers."""

    jobs: Mapping[Name, TemplateJobFile] = Field({}, min_length=1, description="the jobs by name")


def schema() -> dict[str, Any]:
    """The schema of `.farmgate.yml` (JSON Schema 2020-12)."""
    made = PipelineFile.model_json_schema(mode="validation")
    made["properties"]["jobs"] = _loosened(made["properties"]["jobs"])
    made["$defs"] = {name: _loosened(below) for name, below in made["$defs"].items()}
    return _named("pipeline", "Farmgate pipeline", made)


def template_schema() -> dict[str, Any]:
    """The schema of a template."""
    made = TemplateFile.model_json_schema(mode="validation")
    for key, below in made["properties"].items():
        if key != "template":
            made["properties"][key] = _or_placeholder(below)
    made["$defs"] = {
        name: below if name in ("TemplateSection", "ParameterFile") else _loosened(below)
        for name, below in made["$defs"].items()
    }
    return _named("template", "Farmgate template", made)


def _named(name: str, title: str, made: dict[str, Any]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://farmgate.invalid/{name}.schema.json",
        **made,
        "title": title,
    }


def _loosened(schema: Any) -> Any:
    """Rule 2, for every value below."""
    if not isinstance(schema, dict):
        return schema
    found = dict(schema)
    for key in ("properties", "patternProperties"):
        if isinstance(found.get(key), dict):
            found[key] = {name: _or_placeholder(below) for name, below in found[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = _or_placeholder(found[key])
    for key in ("anyOf", "oneOf"):
        if isinstance(found.get(key), list):
            found[key] = [_loosened(one) for one in found[key]]
    return found


def _or_placeholder(schema: Any) -> Any:
    below = _loosened(schema)
    if not isinstance(below, dict) or _takes_any_text(below):
        return below
    outside = {key: below[key] for key in ("description", "default", "title") if key in below}
    inside = {key: value for key, value in below.items() if key not in outside}
    known = inside["anyOf"] if set(inside) == {"anyOf"} else [inside]
    return {**outside, "anyOf": [*known, _PLACEHOLDER]}


def _takes_any_text(schema: dict[str, Any]) -> bool:
    plain = {key: schema[key] for key in ("type", "minLength") if key in schema}
    return plain in _FREE and not {"pattern", "enum", "const"} & schema.keys()


def schema_text() -> str:
    """The schema as the file holds it."""
    return _text(schema())


def template_schema_text() -> str:
    """The schema of templates as a farm serves it."""
    return _text(template_schema())


def _text(made: dict[str, Any]) -> str:
    return json.dumps(made, indent=2, sort_keys=True) + "\n"
