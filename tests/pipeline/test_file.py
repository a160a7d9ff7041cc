"""What a file becomes: every default applied, every short form made long."""

from __future__ import annotations

from datetime import timedelta

from farmgate.pipeline import JobSpec, Pipeline, StepSpec, parse
from farmgate.pipeline.models import ArtifactSpec, FetchSpec

WHOLE = """\
image: python:3.12-slim
environment: {A: "1", VERSION: 1.10}
jobs:
  build:
    steps:
      - make build
    artifacts: [dist/*.tar.gz]
  unit:
    image: node:22
    needs: [build]
    steps:
      - "\\n  make deps\\nmake test"
      - name: Lint
        run: make lint
    timeout: 10m
    environment: {A: yes, B: true}
    memory: 512m
    cpus: 0.5
    pool: large
"""


def test_a_file_becomes_a_pipeline_with_every_default_applied() -> None:
    assert parse(WHOLE) == Pipeline(
        jobs={
            "build": JobSpec(
                name="build",
                family="build",
                image="python:3.12-slim",
                needs=(),
                steps=(StepSpec(name="make build", run="make build"),),
                timeout=timedelta(minutes=30),
                environment={"A": "1", "VERSION": "1.10"},
                artifacts=(ArtifactSpec(paths=("dist/*.tar.gz",)),),
                memory_bytes=None,
                cpus=None,
                pool="default",
            ),
            "unit": JobSpec(
                name="unit",
                family="unit",
                fetch=(FetchSpec(job="build"),),
                image="node:22",
                needs=("build",),
                steps=(
                    StepSpec(name="make deps", run="\n  make deps\nmake test"),
                    StepSpec(name="Lint", run="make lint"),
                ),
                timeout=timedelta(minutes=10),
                environment={"A": "yes", "VERSION": "1.10", "B": "true"},
                artifacts=(),
                memory_bytes=2**29,
                cpus=0.5,
                pool="large",
            ),
        }
    )


def test_a_pipeline_goes_through_json_unchanged() -> None:
    pipeline = parse(WHOLE)
    assert Pipeline.model_validate(pipeline.model_dump(mode="json")) == pipeline
    assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline
    job = pipeline.jobs["unit"]
    assert JobSpec.model_validate(job.model_dump(mode="json")) == job


def test_a_job_without_an_image_leaves_it_to_the_node() -> None:
    assert parse("jobs: {a: {steps: [x]}}").jobs["a"].image is None
