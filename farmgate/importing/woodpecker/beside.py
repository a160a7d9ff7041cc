"""Services, and the variables of services and steps.

Rules:
1. `from_secret` is a secret of the job, in capitals, as secrets are called here.
2. A service with commands runs them in its own shell.

Follows "Services" and "Secrets" of Woodpecker's documentation.
"""

from __future__ import annotations

import re
from typing import Any, Final

from farmgate.documents import as_written
from farmgate.importing import services as known
from farmgate.importing.account import Kind, Part
from farmgate.importing.draft import Draft, good_image, good_variable, name_of, put_variables
from farmgate.importing.shell import literal, summary
from farmgate.importing.woodpecker.matrix import Matrix

_LEFT: Final = (
    "privileged",
    "volumes",
    "devices",
    "backend_options",
    "secrets",
    "when",
    "entrypoint",
    "tmpfs",
)


def named(part: Part, key: str) -> list[tuple[str, Part]]:
    """Steps or services with their names: a mapping of them, or a list."""
    value = part.take(key)
    found: list[tuple[str, Part]] = []
    if isinstance(value, dict):
        for name, body in value.items():
            at = (*part.at, key, name)
            if isinstance(body, dict):
                found.append((name, Part(part.account, part.document, at, body)))
            else:
                part.say(Kind.LEFT, at, f"{key}: {name[:60]} is no mapping", "write it by hand")
    elif isinstance(value, list):
        for index, body in enumerate(value):
            if isinstance(body, dict):
                one = Part(part.account, part.document, (*part.at, key, index), body)
                found.append((one.text("name") or f"step-{index + 1}", one))
    return found


def services(root: Part, matrix: Matrix) -> dict[str, Any]:
    """The services of a file, as each of its jobs has them."""
    found: dict[str, Any] = {}
    for name, part in named(root, "services"):
        image = matrix.put_in(part.text("image") or "")
        if good_image(image):
            found[name_of(name)] = _service(part, image, matrix)
        else:
            part.left("image", f"image {summary(image)} of service {name}", "name it by hand")
    return found


def _service(part: Part, image: str, matrix: Matrix) -> dict[str, Any]:
    made: dict[str, Any] = {"image": image}
    environment: dict[str, str] = {}
    variables(part, matrix, environment, None)
    if environment:
        made["environment"] = environment
    commands = part.texts("commands") or part.texts("command")
    if commands:  # rule 2
        made["entrypoint"], made["command"] = ["sh", "-ec"], ["\n".join(commands)]
    ports = [int(text) for text in part.texts("ports") if text.isdigit()]
    port = known.port(image) or next(iter(ports), None)
    if port:
        made["health"] = port
    part.needless("pull", "the node decides")
    for key in _LEFT:
        if key in part:
            part.left(key, f"{key} of a service", "an image that has it")
    part.close("a service")
    return made


def variables(part: Part, matrix: Matrix, into: dict[str, str], draft: Draft | None) -> None:
    """`environment`, a mapping or a list of `NAME=value`; secrets go to the draft, where there is one (rule 1)."""
    value = part.take("environment")
    pairs: dict[str, Any] = value if isinstance(value, dict) else {}
    if isinstance(value, list):
        pairs = dict((as_written(one) or "").partition("=")[::2] for one in value)
    at = (*part.at, "environment")
    plain: dict[str, str] = {}
    for key, one in pairs.items():
        secret = as_written(one.get("from_secret")) if isinstance(one, dict) else None
        if secret is not None and draft is not None and good_variable(key):
            draft.secrets[key] = secret_name(secret)
        elif isinstance(one, dict | list):
            part.say(Kind.LEFT, (*at, key), f"variable {key[:60]}", "a secret, or a value", key=True)
        else:
            plain[key] = matrix.put_in(literal((as_written(one) or "").replace("$$", "$")))
    put_variables(into, plain, lambda key, why: part.say(Kind.LEFT, (*at, key), why, "rename it", key=True))


def secret_name(text: str) -> str:
    """A secret's name here."""
    return re.sub(r"\W", "_", text).upper()
