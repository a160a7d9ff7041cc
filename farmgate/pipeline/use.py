"""Which template a file uses, and at which revision.

Rules:
1. A template stands on the server (or comes with Farmgate), by its name; or in a repository of the farm, at a revision
   that cannot move: a tag or a whole commit hash.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from farmgate.pipeline.values import Name, Pattern, Written


class UseFile(Written):
    """A template of the server (or a built-in one), or a file of a repository at a revision."""

    template: Name | None = Field(None, description="name of a template of the server, or of a built-in one")
    repository: str | None = Field(None, max_length=100, description="a repository of this farm that holds the file")
    path: Pattern | None = Field(None, description="the file in that repository")
    version: Annotated[int, Field(ge=1)] | None = Field(
        None, description="a version of the server's template; default: the newest"
    )
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$")] | None = Field(
        None, description="a tag, or a whole commit hash; a branch is refused, since it moves"
    )

    @model_validator(mode="after")
    def _one_source(self) -> UseFile:
        from_repository = (self.repository, self.path, self.revision)
        given = [part for part in from_repository if part is not None]
        if (self.template is not None and given) or (self.template is None and len(given) < len(from_repository)):
            raise ValueError("names either 'template', or 'repository', 'path' and 'revision'")
        if self.version is not None and self.template is None:
            raise ValueError("'version' is for a template of the server; of a repository name the 'revision'")
        return self

    def __str__(self) -> str:
        if self.template is not None:
            return self.template if self.version is None else f"{self.template}@{self.version}"
        return f"{self.repository}/{self.path}@{self.revision}"


def _used(value: object) -> object:
    """`name`, or `name@3`: version 3 of it."""
    if not isinstance(value, str):
        return value
    name, at, version = value.partition("@")
    if not at:
        return {"template": name}
    if not version.isdecimal() or int(version) < 1:
        raise ValueError(f"{value[:80]!r}: after the '@' stands a version of the template, such as {name[:60]}@3")
    return {"template": name, "version": int(version)}


Use = Annotated[
    UseFile,
    BeforeValidator(_used),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, UseFile.model_json_schema()]}),
]
