"""Templates: jobs that many repositories share, with parameters and tiers, and what a file becomes that uses one.

Rules:
1. A template is a file: a `template` section that describes it, and jobs as a pipeline file has them. Its parameters
   are put in before anything else is read; a matrix comes later.
2. A job with `tiers` is there in these tiers only. A need of a job that the tier leaves out is left out with it.
3. A template's image and variables are those of its own jobs. The file that uses it wins over its variables, and gives
   its image to jobs that would have none.
4. A file may add jobs of its own, under new names. A template may use another one, at most five deep and never in a
   circle; it hands its tier on where that one has it.
5. A problem in a template is told at the template's own place, with where it was used.
6. Where templates come from is the lookup's affair (`Templates`): this module does no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from pydantic import Field, model_validator

from farmgate.documents import Document, Location, nearest, read
from farmgate.documents.validation import check
from farmgate.errors import BadDocument, NotFound, Problem
from farmgate.pipeline import parameters
from farmgate.pipeline.parameters import ParameterFile
from farmgate.pipeline.standing import TEXT_LIMIT, Standing, checked, too_many
from farmgate.pipeline.substitution import Room, escaped, fill
from farmgate.pipeline.use import Use, UseFile
from farmgate.pipeline.values import Environment, Image, Name, Text, Written

DEPTH_LIMIT: Final = 5


@dataclass(frozen=True, slots=True)
class Found:
    """A template's text. `source`: how its problems name it. `origin`: what a run records of it."""

    text: str | bytes
    source: str
    origin: Mapping[str, Any]


class Templates(Protocol):
    """Where templates come from."""

    def find(self, use: UseFile, *, nested: bool) -> Found:
        """The template that was named, by a file or (`nested`) by a template. Raises NotFound with what can be done."""
        ...


class TemplateSection(Written):
    """What a template is, and what it takes."""

    name: Name = Field(description="its name")
    description: Text | None = Field(None, description="what it is for")
    tiers: tuple[Name, ...] = Field((), max_length=20, description="how strict it can be, such as simple and strict")
    tier: Name | None = Field(None, description="the tier where none is named; default: the first")
    parameters: Mapping[Name, ParameterFile] = Field({}, max_length=200, description="what may be given")

    @model_validator(mode="after")
    def _knows_its_tier(self) -> TemplateSection:
        if self.tier is not None and self.tier not in self.tiers:
            raise ValueError(f"tier {self.tier!r} is not one of 'tiers'")
        if self.tiers and "tier" in self.parameters:
            raise ValueError("a parameter cannot be called 'tier': ${{ parameters.tier }} is the tier")
        return self


class _SectionOnly(Written):
    template: TemplateSection


class TemplateHead(Written):
    """A template's file without a look into its jobs."""

    template: TemplateSection = Field(description="what it is, and what it takes")
    use: Use | None = Field(None, description="another template that brings jobs to this one")
    parameters: Mapping[Name, Any] = Field({}, max_length=200, description="values for that one's parameters")
    tier: Name | None = Field(None, description="that one's tier; default: this one's, where it has it")
    image: Image | None = Field(None, description="the container image of its jobs that name none")
    environment: Environment = Field({}, description="variables of its jobs")
    jobs: Mapping[Name, Any] = Field({}, min_length=1, description="the jobs by name; `tiers` names those that have it")

    @model_validator(mode="after")
    def _has_jobs(self) -> TemplateHead:
        if not self.jobs and self.use is None:
            raise ValueError("needs 'jobs' with at least one job (or 'use', a template that brings some)")
        return self


@dataclass(frozen=True, slots=True)
class Using:
    """A template being used: by `document`, whose `use` stands there."""

    use: UseFile
    values: Mapping[str, Any]
    tier: str | None
    document: Document
    used: str = ""  # where that document was used, if it is a template itself
    inherited: str | None = None  # the tier of that template
    path: tuple[str, ...] = ()

    def problem(self, at: Location, message: str, hint: str | None = None) -> Problem:
        return self.document.problem(at, message + self.used, hint)

    @property
    def place(self) -> str:
        line, column = self.document.place(("use",))
        return f", used at {self.document.source}:{line}:{column}{self.used}"


@dataclass(slots=True)
class Brought:
    """What templates bring."""

    jobs: dict[str, Standing] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    origins: list[Mapping[str, Any]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def bring(using: Using, templates: Templates, over: Mapping[str, str], room: Room | None = None) -> Brought:
    """The jobs of a template, with its parameters put in. `over`: the file's own variables, which win (rule 3)."""
    room = room if room is not None else Room(TEXT_LIMIT)
    brought = Brought()
    named = str(using.use)
    if named in using.path:
        circle = " uses ".join(repr(name) for name in (*using.path[using.path.index(named) :], named))
        brought.problems.append(using.problem(("use",), f"these templates use each other: {circle}"))
        return brought
    if len(using.path) >= DEPTH_LIMIT:
        chain = " uses ".join(repr(name) for name in (*using.path, named))
        brought.problems.append(using.problem(("use",), f"templates are used more than {DEPTH_LIMIT} deep: {chain}"))
        return brought
    try:
        found = templates.find(using.use, nested=bool(using.path))
    except NotFound as error:
        brought.problems.append(using.problem(("use",), str(error)))
        return brought
    brought.origins.append(found.origin)
    try:
        document = read(found.text, found.source)
        _fill_in(brought, using, document, templates, over, room, using.place)
    except BadDocument as error:
        brought.problems += told(error.problems, using.place)
    return brought


def _fill_in(
    brought: Brought,
    using: Using,
    document: Document,
    templates: Templates,
    over: Mapping[str, str],
    room: Room,
    place: str,
) -> None:
    """`place`: where the template was used. Raises BadDocument with what is wrong in the template's document."""
    section = _section(document)
    document.refuse(too_many(document))
    tier, wrong = _tier(section, using)
    values, more = parameters.given(section.parameters, using.values, f"template {section.name!r}", using.document)
    brought.problems += told((*wrong, *more), using.used)
    if brought.problems:
        return
    before, bad = parameters.defaults(section.parameters, document, ("template", "parameters"))
    document.refuse(bad)
    known = {**before, **values} | ({"tier": tier} if tier is not None else {})
    data = _with_parameters(document, known, room)
    head = _head(document, data)
    inner = Brought()
    if head.use is not None:
        nested = Using(head.use, head.parameters, head.tier, document, place, tier, (*using.path, str(using.use)))
        inner = bring(nested, templates, {**head.environment, **over}, room)
        brought.problems += inner.problems
        brought.origins += inner.origins
    own, left_out = _jobs(document, data, section, tier, place)
    brought.left_out = inner.left_out | left_out
    brought.jobs = dict(inner.jobs)
    for name, job in own.items():
        if name in inner.jobs:
            brought.problems.append(job.problem((), f"template {str(head.use)!r} has a job {name!r} already", key=True))
        brought.jobs[name] = job
    variables = {name: value for name, value in head.environment.items() if name not in over}
    for name, job in brought.jobs.items():
        brought.jobs[name] = _completed(job, head.image, variables, brought.left_out)


def problems_of(text: str, source: str, templates: Templates) -> tuple[str, tuple[Problem, ...]]:
    """A template's own name, and all that is wrong with it in any of its tiers. Raises BadDocument.

    Where a parameter must be given, its jobs cannot be looked at: only who uses the template knows the value.
    """
    document = read(text, source)
    section = _section(document)
    parameters_at: Location = ("template", "parameters")
    document.refuse(parameters.defaults(section.parameters, document, parameters_at)[1])
    document.refuse(too_many(document))
    if any(parameter.required for parameter in section.parameters.values()):
        return section.name, ()
    found: list[Problem] = []
    for tier in section.tiers or (None,):
        brought = Brought()
        itself = UseFile(template=section.name)
        try:
            _fill_in(brought, Using(itself, {}, tier, document), document, templates, {}, Room(TEXT_LIMIT), "")
        except BadDocument as error:
            brought.problems += error.problems
        found += brought.problems or checked(tuple(brought.jobs.values()))[1]
    return section.name, tuple(dict.fromkeys(found))


def told(problems: Sequence[Problem], used: str) -> Iterator[Problem]:
    """Rule 5."""
    for one in problems:
        yield Problem(one.source, one.line, one.column, one.message + used, one.suggestion)


def _section(document: Document) -> TemplateSection:
    if "template" not in document.data:
        document.refuse([document.problem((), "this is not a template: a template begins with 'template:'")])
    made, wrong = check(document, _SectionOnly, {"template": document.data["template"]})
    document.refuse(wrong)
    if made is None:
        raise AssertionError("a failed validation has problems")
    return made.template


def _tier(section: TemplateSection, using: Using) -> tuple[str | None, tuple[Problem, ...]]:
    wanted = using.tier if using.tier is not None else section.tier
    if using.tier is None and using.inherited in section.tiers:
        wanted = using.inherited
    if wanted is None:
        return (section.tiers[0] if section.tiers else None), ()
    if wanted in section.tiers:
        return wanted, ()
    known = f"it has {', '.join(section.tiers)}" if section.tiers else "it has none"
    hint = nearest(wanted, section.tiers, otherwise=known)
    return None, (using.document.problem(("tier",), f"template {section.name!r} has no tier {wanted!r}", hint),)


def _with_parameters(document: Document, known: Mapping[str, Any], room: Room) -> dict[str, Any]:
    problems: list[Problem] = []

    def complain(location: Location, message: str, suggestion: str | None) -> None:
        problems.append(document.problem(location, message, suggestion))

    data: dict[str, Any] = {}
    for key, value in document.data.items():
        if key == "template":
            data[key] = value
            continue
        data[key] = fill(value, {"parameters": known}, complain, (key,), room=room, only="parameters")
        if key != "jobs":  # nothing else has a matrix
            data[key] = fill(data[key], {}, complain, (key,), room=room)
    document.refuse(problems)
    return data


def _head(document: Document, data: dict[str, Any]) -> TemplateHead:
    made, wrong = check(document, TemplateHead, data)
    document.refuse(wrong)
    if made is None:
        raise AssertionError("a failed validation has problems")
    return made


def _jobs(
    document: Document, data: Mapping[str, Any], section: TemplateSection, tier: str | None, used: str
) -> tuple[dict[str, Standing], set[str]]:
    """Rule 2: the jobs of the tier, and the names of those that it leaves out."""
    jobs: dict[str, Standing] = {}
    left_out: set[str] = set()
    problems: list[Problem] = []
    for name, raw in (data.get("jobs") or {}).items():
        if isinstance(raw, dict) and "tiers" in raw:
            wanted = [raw["tiers"]] if isinstance(raw["tiers"], str) else raw["tiers"]
            problems += _wrong_tiers(document, ("jobs", name, "tiers"), wanted, section)
            raw = {key: value for key, value in raw.items() if key != "tiers"}
            if isinstance(wanted, list) and tier not in wanted:
                left_out.add(name)
                continue
        jobs[name] = Standing(name, raw, document, ("jobs", name), used)
    document.refuse(problems)
    if not jobs and "jobs" in data and data.get("use") is None:
        message = f"no job is left in tier {tier!r}: give at least one of them no 'tiers', or this one"
        document.refuse([document.problem(("jobs",), message)])
    return jobs, left_out


def _wrong_tiers(document: Document, at: Location, wanted: Any, section: TemplateSection) -> Iterator[Problem]:
    if not isinstance(wanted, list) or not wanted or not all(isinstance(one, str) for one in wanted):
        yield document.problem(at, "'tiers' is a list of tiers, such as [standard, strict]")
        return
    for one in wanted:
        if one not in section.tiers:
            known = f"known here: {', '.join(section.tiers)}" if section.tiers else "name them in template.tiers"
            yield document.problem(at, f"{one!r} is not a tier", nearest(one, section.tiers, otherwise=known))


def _completed(job: Standing, image: str | None, variables: Mapping[str, str], left_out: set[str]) -> Standing:
    """With its template's image and variables (rule 3), and without needs of jobs that are left out (rule 2)."""
    if not isinstance(job.raw, dict):
        return job
    raw = dict(job.raw)
    asks = raw.get("approve") is not None
    own = raw.get("environment", {})
    if variables and isinstance(own, dict) and not asks:
        raw["environment"] = {**{name: escaped(value) for name, value in variables.items()}, **own}
    if image is not None and raw.get("image") is None and not asks:
        raw["image"] = escaped(image)
    needs = raw.get("needs")
    if left_out and needs is not None:
        listed = needs if isinstance(needs, list) else [needs]
        kept = [need for need in listed if (need.get("job") if isinstance(need, dict) else need) not in left_out]
        if len(kept) < len(listed):
            raw["needs"] = kept
    return Standing(job.name, raw, job.document, job.at, job.used)


__all__ = ["DEPTH_LIMIT", "Brought", "Found", "TemplateHead", "Templates", "Using", "bring", "problems_of", "told"]
