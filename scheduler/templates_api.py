"""Templates of the server: look, apply, remove; and the schemas that editors ask for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from farmgate.errors import BadDocument, Conflict, NotFound
from farmgate.models import TemplateVersion, Trust
from farmgate.pipeline import schema
from farmgate.pipeline.builtin import NAMES, built_in
from farmgate.pipeline.templates import problems_of
from farmgate.pipeline.use import UseFile
from farmgate.store import events, templates
from scheduler.auth import Admin, Person
from scheduler.context import Context
from scheduler.templates import FarmTemplates

LIMIT = 2 * 2**20


class TemplateBody(BaseModel):
    """A template. `version` None: it comes with Farmgate. `text` None: it was removed, or only a list was asked for."""

    name: str
    version: int | None
    text: str | None = None
    changed_by: str | None = None
    changed_at: datetime | None = None
    removed: bool = False


class NewTemplate(BaseModel):
    """A template's whole text."""

    text: str = Field(max_length=LIMIT)


class FoundBody(BaseModel):
    """What a file that uses a template gets."""

    text: str
    source: str
    origin: dict[str, str]


def router(context: Context) -> APIRouter:
    routes = APIRouter(tags=["templates"])

    @routes.get("/schema/pipeline.json")
    def pipeline_schema() -> Response:
        """The JSON Schema of the pipeline file, for editors: it asks for no sign-in."""
        return Response(schema.schema_text(), media_type="application/schema+json")

    @routes.get("/schema/template.json")
    def template_schema() -> Response:
        """The JSON Schema of a template."""
        return Response(schema.template_schema_text(), media_type="application/schema+json")

    @routes.get("/api/templates")
    def every(person: Person) -> list[TemplateBody]:
        """The templates of this server and those that come with Farmgate, by name, without their texts."""
        with context.store.reading() as connection:
            found = [_body(row, whole=False) for row in templates.present(connection)]
        return sorted([*found, *(TemplateBody(name=name, version=None) for name in NAMES)], key=lambda one: one.name)

    @routes.post("/api/templates/find")
    def find(person: Person, use: UseFile) -> FoundBody:
        """What a file gets that uses this: for checking a file before it is committed."""
        found = FarmTemplates(context, None, Trust.TRUSTED).find(use, nested=True)
        text = found.text if isinstance(found.text, str) else found.text.decode(errors="replace")
        return FoundBody(text=text, source=found.source, origin=dict(found.origin))

    @routes.get("/api/templates/{name}")
    def one(person: Person, name: str, version: Annotated[int | None, Query(ge=1)] = None) -> TemplateBody:
        """A template with its text; the newest version, or the one that is asked for."""
        with context.store.reading() as connection:
            row = templates.find(connection, name, version)
        if row is not None:
            return _body(row, whole=True)
        if name in NAMES:
            text = built_in(name).text
            return TemplateBody(name=name, version=None, text=text if isinstance(text, str) else text.decode())
        raise NotFound(f"there is no template {name!r} on this server")

    @routes.get("/api/templates/{name}/versions")
    def versions(person: Person, name: str) -> list[TemplateBody]:
        """Every version with who made it, newest first."""
        with context.store.reading() as connection:
            return [_body(row, whole=False) for row in templates.history(connection, name)]

    @routes.put("/api/templates/{name}")
    def apply(person: Admin, name: str, body: NewTemplate) -> TemplateBody:
        """Make this text the newest version; the same text again makes none."""
        _check(context, name, body.text)
        now = context.clock.now()
        with context.store.writing() as connection:
            row, new = templates.apply(connection, name, body.text, person.name, now)
            if new:
                text = f"version {row.version}"
                events.record(
                    connection, now, "template.applied", f"template/{name}", person.name, text, after=body.text
                )
        return _body(row, whole=True)

    @routes.delete("/api/templates/{name}", status_code=204)
    def remove(person: Admin, name: str) -> Response:
        """Take a template away: files that use it are told so; its versions stay as a record."""
        now = context.clock.now()
        with context.store.writing() as connection:
            row = templates.remove(connection, name, person.name, now)
            text = f"after version {row.version - 1}"
            events.record(connection, now, "template.removed", f"template/{name}", person.name, text)
        return Response(status_code=204)

    return routes


def _body(row: TemplateVersion, *, whole: bool) -> TemplateBody:
    return TemplateBody(
        name=row.name,
        version=row.version,
        text=row.text if whole else None,
        changed_by=row.changed_by,
        changed_at=row.changed_at,
        removed=row.text is None,
    )


def _check(context: Context, name: str, text: str) -> None:
    """Raises BadDocument, Conflict."""
    if name in NAMES:
        raise Conflict(f"template {name!r} comes with Farmgate: call yours otherwise")
    own, problems = problems_of(text, f"{name}.yml", FarmTemplates(context, None, Trust.TRUSTED))
    if own != name:
        raise Conflict(f"the text calls itself {own!r}, not {name!r}: template.name must be the same")
    if problems:
        raise BadDocument(problems)
