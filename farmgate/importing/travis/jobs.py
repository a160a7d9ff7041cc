"""A job of the pipeline file, of combinations that share their commands.

Rules:
1. What differs between the combinations is the job's matrix; what does not stands where it is used.
2. A version is the image; where versions have images of several families, the matrix holds the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farmgate.errors import Problem
from farmgate.importing import cells, images
from farmgate.importing.account import Kind, Part
from farmgate.importing.commands import without_root
from farmgate.importing.draft import Draft, Drafts
from farmgate.importing.travis import beside, conditions, phases
from farmgate.importing.travis.combinations import Combination, language_of
from farmgate.importing.travis.environment import Environment
from farmgate.importing.travis.languages import Language, image


@dataclass(frozen=True, slots=True)
class File:
    """What all jobs of a file share."""

    root: Part
    drafts: Drafts
    places: dict[str, Problem]
    environment: Environment
    jobs: int  # how many jobs it becomes


def job(file: File, group: Sequence[Combination]) -> Draft:
    """The job of a group of combinations that share their commands."""
    first, root = group[0], file.root
    own = first.own
    draft = file.drafts.add(_name(file, group))
    start = next(((key,) for key in ("script", "install", "language") if key in root), ())
    file.places[draft.name] = root.document.problem(start if own is None else own.at, "", key=True)
    with root.account.noting(draft.notes):
        language = language_of(own if own is not None and "language" in own else root)
        used = _cells(group)
        _image(root, draft, language, used, group)
        draft.environment.update(file.environment.shared)
        _matrix(draft, first, used)
        if first.may_fail:
            draft.rest["allow_failure"] = True
        phases.steps(root, own, draft, language, file.environment)
        for part in (root, own):
            if part is not None:
                beside.beside(draft, part)
        if own is not None:
            draft.when.update(conditions.of_part(own, "write 'when' by hand"))
    without_root(draft)
    return draft


def _name(file: File, group: Sequence[Combination]) -> str:
    first = group[0]
    wanted = first.name if len(group) == 1 and first.name else first.stage
    if wanted != first.stage or file.jobs == 1:
        return wanted
    if first.may_fail:
        return f"{wanted}-may-fail"
    if file.drafts.jobs:
        return "-".join([wanted, *(_plain(key) for key in first.values if key.startswith("env."))])
    return wanted


def _plain(key: str) -> str:
    return key.removeprefix("env.")


def _cells(group: Sequence[Combination]) -> list[dict[str, str]]:
    """The values that may make a difference: not the machine, nor one compiler that every image has."""
    compilers = {one.values.get("compiler") for one in group}
    return [
        {
            _plain(key): value
            for key, value in one.values.items()
            if key != "dist" and (key != "compiler" or value not in ("gcc", "clang") or len(compilers) > 1)
        }
        for one in group
    ]


def _matrix(draft: Draft, first: Combination, used: list[dict[str, str]]) -> None:
    """Rule 1."""
    constant = {key: text for key, text in used[0].items() if len({cell[key] for cell in used}) == 1}
    differ = [key for key in used[0] if key not in constant]
    originals = {_plain(name): name for name in reversed([*first.values])}
    for key in (*differ, *constant):
        text = constant.get(key) or f"${{{{ matrix.{key} }}}}"
        original = originals.get(key, key)
        if original.startswith("env."):
            draft.environment[key] = text
        elif original == "compiler":
            draft.environment["CC"] = text
        elif original == "gemfile":
            draft.environment["BUNDLE_GEMFILE"] = text
    draft.matrix = cells.fold([{key: cell[key] for key in differ} for cell in used])


def _image(
    root: Part, draft: Draft, language: Language, used: list[dict[str, str]], group: Sequence[Combination]
) -> None:
    """Rule 2: the image; the cells that are used lose their version, or hold what is left of it."""
    dist = group[0].values.get("dist")
    wanted = []
    if language.key == "scala":
        root.look("language", "sbt is not in the image of Java", "use an image that has it")
    for one in group:
        version = one.values.get(language.key)
        wanted.append(image(language, version, dist))
        if version and language.image and not images.exact(language.image, version, wanted[-1]):
            message = f"{version}: the image is {wanted[-1]}"
            at = (*root.at, language.key)
            root.say(Kind.LOOK, at, message, "no image of that version is published", key=True)
    family = {one.partition(":")[0] for one in wanted}
    if len(set(wanted)) == 1:
        draft.image = wanted[0]
        for cell in used if language.image or len({cell.get(language.key) for cell in used}) == 1 else ():
            cell.pop(language.key, None)
    elif len(family) == 1:
        suffix = "-cli" if language.key == "php" else ""
        for cell, found in zip(used, wanted, strict=True):
            cell[language.key] = found.partition(":")[2].removesuffix(suffix)
        draft.image = f"{family.pop()}:${{{{ matrix.{language.key} }}}}{suffix}"
    else:
        for cell, found in zip(used, wanted, strict=True):
            cell.pop(language.key, None)
            cell["image"] = found
        draft.image = "${{ matrix.image }}"
