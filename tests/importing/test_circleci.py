"""CircleCI, key by key."""

from __future__ import annotations

from farmgate.importing import Format
from tests.importing.conversions import imported

C = Format.CIRCLECI


def test_the_first_image_is_the_jobs_and_the_others_are_services() -> None:
    made = imported(
        C,
        """\
        version: 2
        jobs:
          build:
            docker:
              - image: cimg/python:3.12
                environment: {A: 1}
              - {image: "postgres:16", environment: {POSTGRES_USER: x}}
            resource_class: large
            parallelism: 2
            steps: [checkout, run: make, {run: {name: Tests, command: make test, working_directory: web}}]
        """,
    )
    job = made.job("build 1/2")
    assert (job.image, job.environment["A"], job.cpus, job.memory_bytes) == (
        "cimg/python:3.12",
        "1",
        4,
        8 * 2**30,
    )
    assert [service.name for service in job.services] == ["postgres"]
    assert [(step.name, step.run, step.working_directory) for step in job.steps] == [
        ("make", "make", None),
        ("Tests", "make test", "web"),
    ]
    assert made.imported.steps_converted == 3
    assert made.left == []


def test_workflows_requires_filters_and_approval() -> None:
    made = imported(
        C,
        """\
        version: 2.1
        executors: {py: {docker: [{image: "python:3.12"}]}}
        jobs:
          test: {executor: py, steps: [run: make test]}
          ship: {executor: py, steps: [run: make ship]}
        workflows:
          all:
            jobs:
              - test
              - hold: {type: approval, requires: [test]}
              - ship: {requires: [hold], filters: {branches: {only: [main, /release-.*/]}}}
        """,
    )
    assert made.job("hold").approve is not None
    assert made.job("ship").needs == ("hold",)
    assert made.job("ship").when.branch == ("main", "release-*")


def test_parameters_commands_and_a_matrix() -> None:
    made = imported(
        C,
        """\
        version: 2.1
        commands:
          greet: {parameters: {to: {type: string, default: you}}, steps: [run: "echo << parameters.to >>"]}
        jobs:
          test:
            parameters: {v: {type: string}}
            docker: [{image: "python:<< parameters.v >>"}]
            steps: [greet: {to: me}, greet]
        workflows:
          all: {jobs: [test: {matrix: {parameters: {v: ["3.11", "3.12"]}}}]}
        """,
    )
    first, second = made.pipeline.jobs.values()
    assert (first.image, second.image) == ("python:3.11", "python:3.12")
    assert [step.run for step in first.steps] == ["echo me", "echo you"]


def test_the_workspace_is_artifacts_and_needs() -> None:
    made = imported(
        C,
        """\
        version: 2
        jobs:
          build:
            docker: [{image: node:22}]
            steps:
              - run: make
              - persist_to_workspace: {root: ., paths: [dist]}
              - save_cache: {key: 'v1-{{ checksum "package-lock.json" }}', paths: [~/.npm]}
              - store_test_results: {path: results}
          test: {docker: [{image: node:22}], steps: [attach_workspace: {at: .}, run: make test]}
        workflows: {version: 2, all: {jobs: [build, test: {requires: [build]}]}}
        """,
    )
    build = made.job("build")
    assert (build.artifacts[0].paths, build.reports.junit) == (("dist", "dist/**"), ("results/**/*.xml",))
    assert [(cache.key, cache.files) for cache in build.caches] == [("v1", ("package-lock.json",))]
    assert [fetch.job for fetch in made.job("test").fetch] == ["build"]


def test_conditions_that_are_known_and_those_that_are_not() -> None:
    made = imported(
        C,
        """\
        version: 2.1
        parameters: {slow: {type: boolean, default: false}}
        jobs:
          a:
            docker: [{image: node:22}]
            steps:
              - when: {condition: << pipeline.parameters.slow >>, steps: [run: make slow]}
              - unless: {condition: << pipeline.parameters.slow >>, steps: [run: make fast]}
              - run: {command: make tell, when: on_fail}
        workflows: {all: {jobs: [a]}}
        """,
    )
    assert made.runs("a") == ["make fast"]
    assert made.imported.steps_left == ("runs after a failure",)


def test_orbs_contexts_docker_and_other_systems_are_left() -> None:
    made = imported(
        C,
        """\
        version: 2.1
        orbs: {node: circleci/node@5, slack: circleci/slack@4}
        jobs:
          a: {docker: [{image: node:22}], steps: [node/install-packages, slack/notify, setup_remote_docker]}
          b: {macos: {xcode: 15}, steps: [run: make]}
        workflows: {all: {jobs: [a: {context: org}, b]}}
        """,
    )
    assert made.runs("a") == ["npm ci"]
    assert made.imported.steps_left == (
        "command slack/notify of an orb",
        "setup_remote_docker",
        "runs on another system",
    )
    assert any("context org" in said for said in made.left)


def test_a_key_that_nobody_knows_is_listed() -> None:
    made = imported(C, "version: 2\njobs: {build: {docker: [{image: node:22}], steps: [run: x], frobnicate: 1}}\n")
    assert [said.partition(": ")[2] for said in made.left] == ["frobnicate of a job is not known to the importer"]


def test_the_modules_of_go_are_cached_where_the_job_may_write() -> None:
    made = imported(
        Format.CIRCLECI,
        """\
        version: 2.1
        orbs: {go: circleci/go@1}
        jobs:
          build:
            machine: {image: "ubuntu-2204:current"}
            environment: [CGO_ENABLED=0]
            steps:
              - checkout
              - go/install: {version: "1.22"}
              - go/load-cache
              - run: go test ./...
              - go/save-cache
        """,
    )
    job = made.job("build")
    assert (job.image, job.environment["CGO_ENABLED"]) == ("golang:1.22", "0")
    assert [cache.paths for cache in job.caches] == [("~/.cache/go-mod",)]
    assert made.runs("build") == ['export GOMODCACHE="$HOME/.cache/go-mod"\ngo test ./...']
    assert made.left == []
