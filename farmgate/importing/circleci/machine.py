"""What a job runs in: its executor, or its own `docker` and `machine`.

Rules:
1. The first image is the job's; the others are services, reached by their names.
2. A machine of its own becomes a plain image, and is told; macOS and Windows leave the whole job.

Follows "Configuration reference" (`docker`, `machine`, `executors`) of CircleCI's documentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from farmgate.documents import as_written
from farmgate.importing import images, services
from farmgate.importing.account import Part
from farmgate.importing.circleci.parameters import body, defaults
from farmgate.importing.draft import good_image, name_of, put_variables
from farmgate.importing.shell import literal, summary

if TYPE_CHECKING:
    from farmgate.importing.circleci.jobs import JobReader

_SIZES: Final = {
    "small": (1, "2g"),
    "medium": (2, "4g"),
    "medium+": (3, "6g"),
    "large": (4, "8g"),
    "xlarge": (8, "16g"),
    "2xlarge": (16, "32g"),
}


def variables(part: Part, into: dict[str, str]) -> None:
    """`environment`: a mapping, a list of mappings, or of `NAME=value`."""
    value = part.value.get("environment")
    if isinstance(value, list):
        part.take("environment")
        env: Part | None = part.below("environment", _pairs(part, value))
    else:
        env = part.part("environment")
    if env is None:
        return
    pairs = {key: as_written(env.take(key)) or "" for key in env.names()}
    put_variables(
        into,
        {key: text if "${{ matrix." in text else literal(text) for key, text in pairs.items()},
        lambda key, why: env.left(key, why, "rename it"),
    )


def _pairs(part: Part, value: list[Any]) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for one in value:
        name, equals, text = (as_written(one) or "").partition("=")
        if isinstance(one, dict):
            pairs.update(one)
        elif equals:
            pairs[name] = text
        else:
            part.left("environment", f"a variable without a value: {summary(str(one))}", "write NAME: value")
    return pairs


def executor(job: JobReader, part: Part) -> None:
    """The executor that a job names, of the file or of an orb; then what the job says for itself."""
    value = part.take("executor")
    if value is not None:
        given = value if isinstance(value, dict) else {"name": value}
        name = as_written(given.get("name")) or ""
        found = job.config.section("executors").get(name)
        if isinstance(found, dict):
            _of_file(job, name, found, given)
        else:
            _of_orb(job, part, name, given)
    _machine(job, part)


def _of_file(job: JobReader, name: str, found: dict[str, Any], given: dict[str, Any]) -> None:
    values = {**job.values, **defaults(found.get("parameters"))}
    values.update({f"parameters.{key}": text for key, text in given.items() if key != "name"})
    below = Part(job.account, job.document, ("executors", name), body(found, values))
    _machine(job, below)
    variables(below, job.draft.environment)
    for key in ("working_directory", "shell", "description"):
        below.take(key)
    below.close("an executor")


def _of_orb(job: JobReader, part: Part, name: str, given: dict[str, Any]) -> None:
    image = images.image(name.partition("/")[0], str(given.get("tag", "")))
    if image:
        job.draft.image = image
        part.look("executor", f"executor {name}: the image is {image}")
    else:
        part.left("executor", f"executor {name[:60]} of an orb", "name the image")


def _machine(job: JobReader, part: Part) -> None:
    for key in ("macos", "windows", "xcode"):
        if key in part:  # rule 2
            part.left(key, f"a job on {key}", "nodes run Linux containers: keep that job where it is")
            job.elsewhere = True
    if "machine" in part:
        part.look("machine", "a machine of its own becomes a container", "an image that has what the steps need")
        job.draft.image = images.PLAIN
    for number, (at, one) in enumerate(part.listed("docker")):
        below = part.at_part(at, one)
        if below is not None:
            _image(job, below, is_first=number == 0)
    size = part.text("resource_class")
    if size in _SIZES:
        job.draft.rest["cpus"], job.draft.rest["memory"] = _SIZES[size]
    elif size:
        part.look("resource_class", f"resource class {size[:40]}", "'cpus', 'memory', or a pool")


def _image(job: JobReader, below: Part, *, is_first: bool) -> None:
    """Rule 1."""
    image = below.text("image") or ""
    if not good_image(image):
        below.left("image", f"image {image[:80]!r}", "name it by hand")
        return
    if is_first:
        job.draft.image = image
        variables(below, job.draft.environment)
        for key in ("user", "entrypoint", "command", "name"):
            if key in below:
                below.needless(key, "steps are run by the farm's own script")
    else:
        _service(job, below, image)
    for key in ("auth", "aws_auth"):
        if key in below:
            below.left(key, "the registry's credentials", "the node's own log-in to the registry")
    below.close("an image")


def _service(job: JobReader, below: Part, image: str) -> None:
    name = name_of(below.text("name") or services.named(image))
    made: dict[str, Any] = {"image": image, "environment": {}}
    variables(below, made["environment"])
    for key in ("command", "entrypoint"):
        words = below.texts(key)
        if words:
            made[key] = words if len(words) > 1 else words[0].split()
    port = services.port(image)
    if port:
        made["health"] = port
    below.needless("user", "the service runs as its image says")
    where = f"for instance {name}:{port or 'its port'}"
    below.look("image", f"the service is reached as {name}, not at localhost", where)
    job.draft.services[name] = {key: value for key, value in made.items() if value}
