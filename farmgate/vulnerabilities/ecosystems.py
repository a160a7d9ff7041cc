"""Packages as OSV names them: from a package URL to an ecosystem and a name, and how versions compare there.

Rules:
1. A name is the same however it is written (PyPI's `Foo_Bar` is `foo-bar`); the release of a distribution belongs to
   its ecosystem (`Debian:12`), and a binary package goes by its source package where the package URL says it.
2. A package URL whose type or distribution OSV has no name for is kept, with an ecosystem that is empty.
3. Versions compare as their ecosystem says; what is no version there is `Uncomparable`, never 'older' or 'newer'.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from packageurl import PackageURL
from packaging.utils import canonicalize_name

CRATES: Final = f"crates{chr(46)}io"  # an ecosystem of OSV, and not the host that it looks like
LONGEST_NAME: Final = 400
LONGEST_VERSION: Final = 200


class Uncomparable(ValueError):
    """This is no version of its ecosystem, or nobody knows how they compare there; the text says which."""


class BadPurl(ValueError):
    """This is no package URL, or one without a version."""


@dataclass(frozen=True, slots=True)
class Package:
    """A version of a package. `ecosystem`: as OSV calls it; empty where it has no name for it."""

    ecosystem: str
    name: str
    version: str
    purl: str


_PLAIN: Final = {  # types of package URLs whose name is namespace/name
    "npm": "npm",
    "golang": "Go",
    "cargo": CRATES,
    "gem": "RubyGems",
    "nuget": "NuGet",
    "composer": "Packagist",
    "hex": "Hex",
    "pub": "Pub",
    "swift": "SwiftURL",
    "conan": "ConanCenter",
    "cran": "CRAN",
    "hackage": "Hackage",
    "githubactions": "GitHub Actions",
    "julia": "Julia",
    "bitnami": "Bitnami",
    "pypi": "PyPI",
}
_SEMVER: Final = frozenset({"npm", CRATES, "Hex", "Pub", "SwiftURL", "GitHub Actions", "Julia", "Bitnami"})
_COMPARED: Final = {
    **dict.fromkeys(_SEMVER, "SemverVersion"),
    "PyPI": "PypiVersion",
    "Go": "GolangVersion",
    "Maven": "MavenVersion",
    "RubyGems": "RubygemsVersion",
    "NuGet": "NugetVersion",
    "Packagist": "ComposerVersion",
    "ConanCenter": "ConanVersion",
    "Debian": "DebianVersion",
    "Ubuntu": "DebianVersion",
    "Alpine": "AlpineLinuxVersion",
    "Wolfi": "AlpineLinuxVersion",
    "Chainguard": "AlpineLinuxVersion",
    "Rocky Linux": "RpmVersion",
    "AlmaLinux": "RpmVersion",
    "Red Hat": "RpmVersion",
    "SUSE": "RpmVersion",
    "openSUSE": "RpmVersion",
    "openEuler": "RpmVersion",
    "Mageia": "RpmVersion",
}
_LIKE_SEMVER: Final = re.compile(r"v?\d+(\.\d+){0,2}([-+].*)?", re.IGNORECASE)
_RELEASE: Final = re.compile(r"[.-](release|ga|final)$", re.IGNORECASE)  # in Maven they are the version itself


def base_of(ecosystem: str) -> str:
    """`Debian:12` is of `Debian`."""
    return ecosystem.partition(":")[0]


def plain_ecosystem(ecosystem: str) -> str:
    """Rule 1: `Ubuntu:22.04:LTS` is `Ubuntu:22.04`."""
    return ecosystem.removesuffix(":LTS") if ecosystem.startswith("Ubuntu:") else ecosystem


def plain_name(ecosystem: str, name: str) -> str:
    """Rule 1."""
    base = base_of(ecosystem)
    if base == "PyPI":
        return canonicalize_name(name)
    return name.lower() if base in ("NuGet", "Packagist", "GitHub Actions", "SwiftURL", "Hex") else name


def package_of(purl: str) -> Package:
    """What a package URL names. Raises BadPurl."""
    if len(purl) > 2 * LONGEST_NAME:
        raise BadPurl(f"a package URL of {len(purl)} characters")
    try:
        read = PackageURL.from_string(purl)
    except ValueError as error:
        raise BadPurl(f"{purl[:100]!r} is no package URL: {str(error)[:100]}") from None
    if not read.version:
        raise BadPurl(f"{purl[:100]!r} has no version")
    qualifiers: Mapping[str, str] = dict(read.qualifiers or {})
    ecosystem, name, version = _found(read, qualifiers)
    name = plain_name(ecosystem, name)
    if len(name) > LONGEST_NAME or len(version) > LONGEST_VERSION:
        raise BadPurl(f"{purl[:100]!r} has a name or a version that is too long")
    if not (name.isprintable() and version.isprintable()):
        raise BadPurl(f"{purl[:100]!r} has a name or a version that is no plain text")
    return Package(ecosystem, name, version, purl)


def _found(read: PackageURL, qualifiers: Mapping[str, str]) -> tuple[str, str, str]:
    whole = f"{read.namespace}/{read.name}" if read.namespace else read.name
    version = str(read.version)
    if read.type == "maven":
        return "Maven", f"{read.namespace or ''}:{read.name}", version
    if read.type == "golang":
        return "Go", whole, version.removeprefix("v")
    if read.type in _PLAIN:
        return _PLAIN[read.type], whole, version
    if read.type in _DISTRIBUTIONS:
        ecosystem = _DISTRIBUTIONS[read.type]((read.namespace or "").lower(), qualifiers.get("distro", "").lower())
        source, _, of = qualifiers.get("upstream", "").partition("@")
        if read.type == "rpm":
            source, of = "", ""  # a file's name, not a package's
        epoch = qualifiers.get("epoch", "")
        if epoch and epoch.isdigit() and ":" not in version:
            version = f"{epoch}:{version}"
        return ecosystem, source or str(read.name), of or version
    return "", whole, version


def _deb(namespace: str, distro: str) -> str:
    number = re.fullmatch(r"(?:debian|ubuntu)-([0-9]+(?:\.[0-9]+)?)", distro)
    if namespace == "debian":
        return f"Debian:{number[1].partition('.')[0]}" if number else ""
    return f"Ubuntu:{number[1]}" if namespace == "ubuntu" and number else ""


def _apk(namespace: str, distro: str) -> str:
    if namespace in ("wolfi", "chainguard"):
        return namespace.capitalize()
    number = re.fullmatch(r"(?:alpine-)?v?([0-9]+\.[0-9]+)(?:\..*)?", distro)
    return f"Alpine:v{number[1]}" if namespace == "alpine" and number else ""


def _rpm(namespace: str, distro: str) -> str:
    number = re.search(r"-([0-9]+)(?:\.[0-9]+)?$", distro)
    of = {"rocky": "Rocky Linux", "rocky-linux": "Rocky Linux", "almalinux": "AlmaLinux", "alma": "AlmaLinux"}
    return f"{of[namespace]}:{number[1]}" if namespace in of and number else ""


_DISTRIBUTIONS: Final[Mapping[str, Callable[[str, str], str]]] = {"deb": _deb, "apk": _apk, "rpm": _rpm}


# --- versions --------------------------------------------------------------------------------------------------------


def is_compared(ecosystem: str) -> bool:
    """True if versions of the ecosystem can be compared."""
    return base_of(ecosystem) in _COMPARED


@lru_cache(maxsize=20_000)
def version_of(base: str, text: str) -> Any:
    """Something that compares with others of its ecosystem. Raises Uncomparable."""
    kind = _COMPARED.get(base)
    if kind is None:
        raise Uncomparable(f"nobody here knows how versions of {base or 'this kind of package'} compare")
    if len(text) > LONGEST_VERSION or not text.strip():
        raise Uncomparable(f"{text[:60]!r} is no version")
    if base in _SEMVER and not _LIKE_SEMVER.fullmatch(text):
        raise Uncomparable(f"{text[:60]!r} is no version of {base}")
    plain = text
    if base == "Maven":
        plain = _RELEASE.sub("", text)
    elif base == "Packagist":
        plain = text.lower()
    try:
        return getattr(importlib.import_module("univers.versions"), kind)(plain)
    except Exception as error:  # a library's own errors, by ecosystem
        raise Uncomparable(f"{text[:60]!r} is no version of {base}") from error


def compare(base: str, one: str, other: str) -> int:
    """-1, 0 or 1. Raises Uncomparable."""
    left, right = version_of(base, one), version_of(base, other)
    try:
        if left == right:
            return 0
        return -1 if left < right else 1
    except Exception as error:  # as above
        raise Uncomparable(f"{one[:60]!r} and {other[:60]!r} of {base} do not compare") from error
