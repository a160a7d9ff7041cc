"""Converting small examples of our own, and looking at what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

from farmgate.importing import Format, Imported, Kind, Source, convert
from farmgate.pipeline import JobSpec, Pipeline, parse

PATHS = {
    Format.TRAVIS: ".travis.yml",
    Format.CIRCLECI: ".circleci/config.yml",
    Format.GITLAB: ".gitlab-ci.yml",
    Format.GITHUB: ".github/workflows/ci.yml",
    Format.WOODPECKER: ".woodpecker.yml",
}


@dataclass(frozen=True)
class Result:
    """What came of an example; the text has been read as a pipeline file."""

    imported: Imported
    pipeline: Pipeline

    @property
    def text(self) -> str:
        return self.imported.text or ""

    def job(self, name: str) -> JobSpec:
        return self.pipeline.jobs[name]

    def runs(self, name: str) -> list[str]:
        return [step.run.strip() for step in self.pipeline.jobs[name].steps]

    def said(self, kind: Kind) -> list[str]:
        return [
            f"{remark.problem.line}:{remark.problem.column}: {remark.problem.message}"
            for remark in self.imported.of(kind)
        ]

    @property
    def left(self) -> list[str]:
        return self.said(Kind.LEFT)


def imported(of: Format, *texts: str, **named: str) -> Result:
    """Convert texts of one format; `named` are further files by their stem."""
    sources = [Source(PATHS[of], dedent(text)) for text in texts]
    sources += [Source(f".github/workflows/{name}.yml", dedent(text)) for name, text in named.items()]
    made = convert(sources, of)
    assert made.text is not None, made.remarks
    return Result(made, parse(made.text))
