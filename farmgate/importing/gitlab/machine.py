"""What a job runs in: its image, and the services beside it.

Rules:
1. An image is known before the job starts: what the file's own variables and the matrix say is put in.
2. A service hears the variables of its own, and those that the usual databases read.

Follows "CI/CD YAML syntax reference" (`image`, `services`) of GitLab's documentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from farmgate.documents import Location, as_written
from farmgate.importing import image_commands, services
from farmgate.importing.account import Kind, flat
from farmgate.importing.commands import DOCKER_REMEDY
from farmgate.importing.draft import good_image, name_of
from farmgate.importing.gitlab.variables import put_in
from farmgate.importing.shell import summary

if TYPE_CHECKING:
    from farmgate.importing.gitlab.jobs import JobReader

_OF_DATABASES: Final = ("POSTGRES", "MYSQL", "MARIADB", "MONGO", "REDIS", "RABBITMQ", "ES_", "MINIO")


def matrix(parallel: Any) -> list[dict[str, Any]]:
    """The entries of `parallel: {matrix: ...}`."""
    entries = parallel.get("matrix") if isinstance(parallel, dict) else None
    return [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []


def image(job: JobReader) -> None:
    """The job's image (rule 1)."""
    part = job.part
    value = part.take("image")
    name = as_written(value.get("name")) if isinstance(value, dict) else as_written(value)
    if not name:
        return
    own = part.value.get("variables")
    known = dict(job.pipeline.drafts.environment)
    known.update({key: as_written(text) or "" for key, text in (own if isinstance(own, dict) else {}).items()})
    known.update({key: f"${{{{ matrix.{key} }}}}" for one in matrix(part.value.get("parallel")) for key in one})
    filled = put_in(name, known)
    if good_image(filled):
        job.draft.image = filled
    else:
        part.left("image", f"image {summary(name)}", "name it: an image is known before the job starts")
    if isinstance(value, dict) and value.get("entrypoint") is not None:
        part.needless("image", "the entrypoint is not used: steps are run by the farm's own script")


def beside(job: JobReader) -> None:
    """The services."""
    for at, one in job.part.listed("services"):
        said = one if isinstance(one, dict) else {"name": one}
        image = as_written(said.get("name"))
        if image and "docker" in services.named(image) and "dind" in image:
            _engine(job, at)
        elif image:
            _service(job, at, put_in(image, job.pipeline.drafts.environment), said)


def _engine(job: JobReader, at: Location) -> None:
    if image_commands.for_job(job.draft, image_commands.texts(job.part.value)).builds:
        job.part.say(Kind.NEEDLESS, at, "docker:dind: the node's engine builds images", None)
    else:
        job.part.say(Kind.LEFT, at, "docker:dind: steps have no Docker engine", DOCKER_REMEDY)


def _service(job: JobReader, at: Location, image: str, said: dict[str, Any]) -> None:
    if not good_image(image):
        job.part.say(Kind.LEFT, at, f"image of a service {summary(image)}", "name it by hand")
        return
    made: dict[str, Any] = {"image": image}
    given = said.get("variables")
    own = {key: as_written(text) or "" for key, text in (given if isinstance(given, dict) else {}).items()}
    everything = {**job.pipeline.drafts.environment, **job.draft.environment, **own}
    environment = {
        key: text for key, text in everything.items() if key in own or key.startswith(_OF_DATABASES)
    }  # rule 2
    if environment:
        made["environment"] = environment
    for key in ("command", "entrypoint"):
        words = [as_written(word) or "" for _, word in flat(said.get(key), ())]
        if words:
            made[key] = words
    port = services.port(image)
    if port:
        made["health"] = port
    job.draft.services[name_of(as_written(said.get("alias")) or services.named(image))] = made
