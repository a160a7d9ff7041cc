"""What a job runs on: its machine or container as an image, and the services beside it.

Rules:
1. A machine with Linux is the image of its version; any other leaves the job where it is.
2. A service is reached by its name here, not at localhost.

Follows "Workflow syntax" (`runs-on`, `container`, `services`) of the documentation of GitHub Actions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from farmgate.documents import as_written
from farmgate.importing import images, services
from farmgate.importing.account import Part
from farmgate.importing.draft import good_image, name_of, put_variables
from farmgate.importing.github import expressions
from farmgate.importing.github.environment import variables
from farmgate.importing.github.trees import Unsaid
from farmgate.importing.shell import summary

_PLAIN: Final = ("self-hosted", "linux", "Linux", "X64", "x64")

if TYPE_CHECKING:
    from farmgate.importing.github.jobs import JobReader


def machine(job: JobReader) -> None:
    """The image of `runs-on` and `container`."""
    part = job.part
    if isinstance(part.value.get("runs-on"), dict):
        part.left("runs-on", "a group of machines", "name a pool: 'pool: ...'")
    else:
        for word in part.texts("runs-on"):
            _runs_on(job, word)
    container = part.take("container")
    if isinstance(container, dict):
        _container(job, part.below("container", container))
    elif container is not None:
        _container(job, part.below("container", {"image": container}))


def _runs_on(job: JobReader, word: str) -> None:
    """Rule 1."""
    try:
        text = expressions.in_value(word, job.scope)
    except Unsaid as unsaid:
        job.part.left("runs-on", f"a machine that is computed: {unsaid}", "name the image")
        return
    if text.startswith(("macos", "windows")):
        job.part.left("runs-on", f"a job on {text[:40]}", "nodes run Linux containers: keep that job where it is")
        job.elsewhere = True
    elif not text.startswith("ubuntu") and text not in _PLAIN and "${{" not in text:
        job.part.look("runs-on", f"a machine called {text[:40]!r}", "name a pool: 'pool: ...'")
    job.draft.image = images.UBUNTU.get(text.removeprefix("ubuntu-"), images.PLAIN)


def _container(job: JobReader, below: Part) -> None:
    image = below.text("image")
    named = job.value(image or "")
    if named and good_image(named):
        job.draft.image, job.language = named, "container"
    else:
        job.part.left("container", f"container {str(image)[:60]}", "name the image")
    env = below.part("env")
    if env is not None:
        variables(job, env, job.draft.environment, job.exports)
    for key in ("options", "volumes", "ports", "credentials"):
        if key in below:
            below.left(key, f"{key} of the container", "limits are 'memory' and 'cpus'")
    below.close("container")


def beside(job: JobReader) -> None:
    """The services (rule 2)."""
    part = job.part.part("services")
    for name in part.names() if part is not None else ():
        value = part.take(name) if part is not None else None
        if isinstance(value, dict) and part is not None:
            _service(job, name, part.below(name, value))


def _service(job: JobReader, name: str, service: Part) -> None:
    image = job.value(service.text("image") or "")
    if not image or not good_image(image):
        service.left("image", f"the image of service {name}", "name it by hand")
        return
    made: dict[str, Any] = {"image": image}
    env = service.part("env")
    if env is not None:
        made["environment"] = _environment(job, name, env)
    options = service.text("options") or ""
    made["health"] = _health(options, image)
    rest = re.sub(r"--health-[a-z-]+[ =]+(?:\"[^\"]*\"|'[^']*'|\S+)", "", options).replace("\\", " ").strip()
    if rest:
        service.left("options", f"options of service {name}: {summary(rest)}", "limits are 'memory' and 'cpus'")
    if "ports" in service:
        service.look("ports", f"the service is reached as {name_of(name)}, at its own port, not at localhost")
    for key in ("volumes", "credentials"):
        if key in service:
            service.left(key, f"{key} of service {name}", "an image that has it")
    service.close("a service")
    job.draft.services[name_of(name)] = {key: value for key, value in made.items() if value}


def _environment(job: JobReader, name: str, env: Part) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in env.names():
        text = job.value(as_written(env.take(key)) or "")
        if text is None:
            env.left(key, f"variable {key} of service {name}", "write it by hand")
        else:
            put_variables(found, {key: text}, lambda key, why: env.left(key, why, "rename it"))
    return found


def _health(options: str, image: str) -> Any:
    found = re.search(r"--health-cmd[ =]+(?:\"([^\"]*)\"|'([^']*)'|(\S+))", options)
    if not found:
        return services.port(image)
    return {"command": next(group for group in found.groups() if group is not None) or "true"}
