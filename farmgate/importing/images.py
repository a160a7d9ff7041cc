"""Which container image stands for what other systems' machines bring along.

Rules:
1. A language and its version is the official image of that language; without a version, its newest.
2. A machine without a language is `buildpack-deps`: git, make, compilers and the usual libraries, like theirs.
"""

from __future__ import annotations

import re
from typing import Any, Final

PLAIN: Final = "buildpack-deps:24.04"
UBUNTU: Final = {
    "latest": PLAIN,
    "24.04": "buildpack-deps:24.04",
    "22.04": "buildpack-deps:22.04",
    "20.04": "buildpack-deps:20.04",
    "18.04": "buildpack-deps:18.04",
    "noble": "buildpack-deps:24.04",
    "jammy": "buildpack-deps:22.04",
    "focal": "buildpack-deps:20.04",
    "bionic": "buildpack-deps:18.04",
    "xenial": "buildpack-deps:16.04",
    "trusty": "buildpack-deps:16.04",
}
_IMAGES: Final = {
    "python": "python:{}",
    "node": "node:{}",
    "go": "golang:{}",
    "rust": "rust:{}",
    "ruby": "ruby:{}",
    "php": "php:{}-cli",
    "java": "eclipse-temurin:{}",
    "dotnet": "mcr.microsoft.com/dotnet/sdk:{}",
    "elixir": "elixir:{}",
    "erlang": "erlang:{}",
    "haskell": "haskell:{}",
    "perl": "perl:{}",
    "r": "r-base:{}",
    "julia": "julia:{}",
    "swift": "swift:{}",
    "dart": "dart:{}",
    "deno": "denoland/deno:{}",
    "bun": "oven/bun:{}",
    "crystal": "crystallang/crystal:{}",
    "gcc": "gcc:{}",
}
_NEWEST: Final = {
    "python": "3",
    "node": "22",
    "go": "1",
    "rust": "1",
    "ruby": "3",
    "php": "8",
    "java": "21",
    "dotnet": "9.0",
    "elixir": "1",
    "erlang": "27",
    "haskell": "9",
    "perl": "5",
    "r": "latest",
    "julia": "1",
    "swift": "6.0",
    "dart": "stable",
    "deno": "latest",
    "bun": "1",
    "crystal": "latest",
    "gcc": "14",
}
_WORDS: Final = frozenset(
    {
        "",
        "latest",
        "stable",
        "current",
        "node",
        "lts/*",
        "lts",
        "*",
        "x",
        "master",
        "oldstable",
        "nightly",
        "beta",
        "head",
    }
)


def image(language: str, version: str | None) -> str | None:
    """The image of a language at a version as others write it; None if the language has none."""
    pattern = _IMAGES.get(language)
    text = (version or "").strip().strip("'\"").lower()
    if pattern is None:
        return None
    if language == "rust" and text.startswith("nightly"):
        return "rustlang/rust:nightly"
    if language == "node" and (found := re.match(r"iojs-?v?([0-9.]+)?", text)):
        return f"iojs:{found[1] or '3'}"
    if language == "python" and text.startswith("pypy"):
        return python(text)
    return pattern.format(tag(language, version))


_PLACED: Final = re.compile(r"\$\{\{ matrix\.([A-Za-z0-9_]+) \}\}")


def put_in(language: str, version: str, matrix: dict[str, Any]) -> tuple[str, list[tuple[str, str]]] | None:
    """The image where the version is `${{ matrix.NAME }}`, and the pairs of version and image that are not the same.

    Where a version is more than the image's tag (`pypy-3.11`, `3.x`), each cell of the matrix is given the whole image
    as NAME_image. None: the version is something else, or the language has no image.
    """
    placed = _PLACED.fullmatch(version)
    pattern = _IMAGES.get(language)
    if placed is None or pattern is None:
        return None
    name = placed[1]
    entries = [entry for entry in matrix.get("include", []) if name in entry]
    axis = matrix.get(name)
    values = list(dict.fromkeys([*(axis or []), *(entry[name] for entry in entries)]))
    made = {value: found for value in values if (found := image(language, value)) is not None}
    if all(found == pattern.format(value) for value, found in made.items()):
        return pattern.format(version), []
    own = f"{name}_image"
    for entry in entries:
        entry[own] = made[entry[name]]
    told = {entry[name] for entry in entries if set(entry) <= {name, own}}
    if axis:
        more = [{name: value, own: made[value]} for value in axis if value not in told]
        matrix["include"] = [*matrix.get("include", []), *more]
    wrong = [(value, found) for value, found in made.items() if not exact(language, value, found)]
    return f"${{{{ matrix.{own} }}}}", wrong


def tag(language: str, version: str | None) -> str:
    """The tag for a version: `18.x` is 18, `lts/*` the newest, `^1.20` is 1.20."""
    text = (version or "").strip().strip("'\"").lower()
    if "${{" in text:
        return (version or "").strip()
    newest = _NEWEST.get(language, "latest")
    if text in _WORDS:
        return newest
    if language == "java":
        found = re.search(r"([0-9]+)", text.removeprefix("1.") if text.startswith("1.") else text)
        return found[1] if found else newest
    text = re.sub(r"^(?:[\^~=<>v ]+|go|ruby-|lts/)", "", text)
    text = re.sub(r"(?:\.x|\.\*|-dev|-rc.*|-beta.*|snapshot)+$", "", text)
    named = {
        "argon": "4",
        "boron": "6",
        "carbon": "8",
        "dubnium": "10",
        "erbium": "12",
        "fermium": "14",
        "gallium": "16",
        "hydrogen": "18",
        "iron": "20",
        "jod": "22",
    }
    text = named.get(text, text)
    if language == "dotnet" and text.count(".") > 1:
        text = ".".join(text.split(".")[:2])
    return text if re.fullmatch(r"[0-9][0-9A-Za-z.]*", text) else newest


def exact(language: str, version: str | None, image: str) -> bool:
    """False where the image is another than what was asked for."""
    text = (version or "").strip().strip("'\"").lower()
    if text in _WORDS - {"nightly", "beta", "head", "master"} or "${{" in text:
        return True
    if image.startswith(("pypy:", "rustlang/", "iojs:")):
        return True
    digits = re.search(r"[0-9]+", text.removeprefix("1.") if language == "java" and text.startswith("1.") else text)
    plain = not re.search(r"nightly|beta|head|dev|rc|jruby|rbx|truffle|graal|hhvm|snapshot", text)
    named = language == "node" and text.startswith("lts/")
    return plain and (named or (digits is not None and digits[0] in image))


def python(version: str) -> str:
    """Also PyPy, which has an image of its own."""
    found = re.match(r"pypy-?([0-9](?:\.[0-9]+)?)", version.lower())
    if found:
        return f"pypy:{found[1]}"
    return f"python:{tag('python', version)}"
