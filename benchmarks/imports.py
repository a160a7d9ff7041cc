"""What share of other systems' steps `farmgate pipeline import` converts, over a folder of their files.

    python -m benchmarks.imports FOLDER [--reasons 15] [--worst FORMAT]

FOLDER holds files under the paths by which the systems know them, as `FOLDER/<project>/.travis.yml` or
`FOLDER/<project>/.github/workflows/*.yml`. All workflow files of one project are one conversion.

A *step* is what its format counts as one thing to do:

- Travis: each command of a phase, given or Travis' own default for the language, in every job that is written (a
  matrix counts once); each `deploy`; each job on another system.
- CircleCI: each step of each job (`run`, `checkout`, `save_cache`, ... and what a command of the file or an orb
  stands for).
- GitLab CI: each entry of `before_script`, `script` and `after_script` of each job; each `trigger`.
- GitHub Actions: each `run` and each `uses` of each job; a job that is a reusable workflow.
- Woodpecker: each command of a step; a step without commands (a plugin).

A step is *converted* if all of it is in the result (or Farmgate does it by itself, as a checkout); if anything of it is
missing (one command that needs root, say) it is *left*, and counted with its reason. A file that is refused as YAML
counts none of its steps: such files are named.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from farmgate.errors import BadDocument
from farmgate.importing import Format, Imported, Kind, Source, convert, format_of
from farmgate.pipeline import parse


def found(folder: Path) -> dict[Format, list[list[Source]]]:
    """The conversions of a folder: single files, and the workflows of a project together."""
    together: dict[tuple[Format, Path], list[Source]] = defaultdict(list)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        of = format_of(str(path))
        if of is not None:
            home = path.parent if of in (Format.GITHUB, Format.WOODPECKER) else path
            together[of, home].append(Source(str(path.relative_to(folder)), path.read_bytes()))
    by: dict[Format, list[list[Source]]] = defaultdict(list)
    for (of, _), sources in together.items():
        by[of].append(sources)
    return by


def results(conversions: list[list[Source]], of: Format) -> Iterator[tuple[list[Source], Imported | BadDocument]]:
    """Each conversion; what comes out is read as a pipeline file."""
    for sources in conversions:
        try:
            imported = convert(sources, of)
        except BadDocument as error:
            yield sources, error
        else:
            if imported.text is not None:
                parse(imported.text)
            yield sources, imported


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reasons", type=int, default=12, help="how many of the commonest reasons")
    parser.add_argument("--format", choices=list(Format), help="only this format")
    parser.add_argument("--remarks", type=int, default=0, help="how many of the commonest remarks on keys")
    given = parser.parse_args()
    for of, conversions in sorted(found(given.folder).items()):
        if given.format not in (None, of):
            continue
        files = converted = whole = 0
        reasons: Counter[str] = Counter()
        remarks: Counter[str] = Counter()
        refused: list[str] = []
        for sources, result in results(conversions, of):
            files += len(sources)
            if isinstance(result, BadDocument):
                refused.append(str(result.problems[0]))
                continue
            converted += result.steps_converted
            whole += not result.of(Kind.LEFT)
            reasons.update(result.steps_left)
            remarks.update(
                re.sub(r"'[^']*'|:.*", "", remark.problem.message)
                for remark in result.remarks
                if remark.kind is Kind.LEFT
            )
        left = reasons.total()
        share = converted / (converted + left) if converted + left else 0
        print(
            f"{of}: {files} files, {len(conversions)} conversions, {len(refused)} refused; "
            f"{converted + left} steps, {converted} converted, {left} left: {share:.1%}; whole: {whole}"
        )
        for reason, number in reasons.most_common(given.reasons):
            print(f"  {number:5}  {reason}")
        for remark, number in remarks.most_common(given.remarks):
            print(f"  {number:5}  (key) {remark}")
        for one in refused[:10]:
            print(f"  refused: {one}")


if __name__ == "__main__":
    main()
