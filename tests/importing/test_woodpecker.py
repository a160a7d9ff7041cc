"""Woodpecker, key by key."""

from __future__ import annotations

import subprocess

import pytest

from farmgate.importing import Format, Source, convert
from farmgate.pipeline import parse
from tests.importing.conversions import imported

W = Format.WOODPECKER


def test_steps_share_a_job_each_in_its_image() -> None:
    made = imported(
        W,
        """\
        steps:
          lint: {image: golangci/golangci-lint, commands: [golangci-lint run]}
          test: {image: golang:1.22, commands: [go vet ./..., go test ./...], environment: {A: 1}}
        """,
    )
    (job,) = made.pipeline.jobs.values()
    assert [(step.name, step.image, step.run.strip()) for step in job.steps] == [
        ("lint", None, "golangci-lint run"),
        ("test", "golang:1.22", "go vet ./...\ngo test ./..."),
    ]
    assert job.image == "golangci/golangci-lint"
    assert made.imported.steps_converted == 3
    assert made.left == []


def test_a_step_that_runs_at_other_times_is_a_job_after_the_others() -> None:
    made = imported(
        W,
        """\
        when: {event: [push, pull_request]}
        steps:
          - {name: test, image: node:22, commands: [npm test]}
          - {name: ship, image: node:22, commands: [npm publish], when: {event: tag}, secrets: [npm_token]}
          - {name: tell, image: alpine, commands: [./tell], when: {status: [success, failure]}}
        """,
    )
    assert made.job("test").when.event == ("push", "pull")
    assert made.job("ship").when.event == ("tag",)
    assert dict(made.job("ship").secrets) == {"NPM_TOKEN": "NPM_TOKEN"}
    assert (made.job("tell").when.result, made.job("tell").needs) == ("always", ("test",))


def test_a_matrix_fills_images_and_commands() -> None:
    made = imported(
        W,
        """\
        matrix: {GO: ["1.21", "1.22"]}
        steps: {test: {image: "golang:${GO}", commands: ["echo ${GO} $${HOME}"]}}
        """,
    )
    first, second = made.pipeline.jobs.values()
    assert (first.image, second.image) == ("golang:1.21", "golang:1.22")
    assert first.steps[0].run == "echo 1.21 ${HOME}"


def test_services_secrets_and_conditions() -> None:
    made = imported(
        W,
        """\
        services: {db: {image: postgres:16, environment: [POSTGRES_USER=x]}}
        steps:
          test:
            image: python:3.12
            commands: [pytest]
            environment: {TOKEN: {from_secret: deploy_token}}
            when: {branch: {exclude: [old/*]}, path: [src/**]}
        """,
    )
    job = made.job("test")
    assert [(one.name, one.health and one.health.port) for one in job.services] == [("db", 5432)]
    assert dict(job.secrets) == {"TOKEN": "DEPLOY_TOKEN"}
    assert (job.when.branch, job.when.paths) == (("**", "!old/*"), ("src/**",))


def test_an_image_is_built_and_other_plugins_are_left() -> None:
    made = imported(
        W,
        """\
        pipeline:
          build: {image: woodpeckerci/plugin-docker-buildx, settings: {repo: acme/shop, dockerfile: docker/Dockerfile}}
          ship: {image: appleboy/drone-ssh, settings: {host: x}}
        """,
    )
    (job,) = made.pipeline.jobs.values()
    assert [(build.name, build.dockerfile) for build in job.builds] == [("acme/shop", "docker/Dockerfile")]
    assert made.imported.steps_left == ("plugin drone-ssh",)
    assert made.left == ["3:3: step ship: plugin appleboy/drone-ssh"]


def test_several_files_wait_for_each_other() -> None:
    one = "steps: {a: {image: alpine, commands: [make]}}\n"
    made = convert(
        [Source(".woodpecker/build.yml", one), Source(".woodpecker/test.yml", one + "depends_on: [build]\n")], W
    )
    jobs = parse(made.text or "").jobs
    assert {name: job.needs for name, job in jobs.items()} == {"build": (), "test": ("build",)}


def test_root_and_unknown_keys_are_left() -> None:
    made = imported(W, "steps:\n  a: {image: alpine, commands: [apk add git, make], frobnicate: 1}\n")
    assert [said.partition(": ")[2] for said in made.left] == [
        "needs root: apk add git",
        "frobnicate of a step is not known to the importer",
    ]
    assert made.runs("a") == ["make"]


def test_a_cache_that_plugins_restore_and_rebuild_is_one_cache() -> None:
    plugin = (
        "{image: meltwater/drone-cache, settings: {%s: true, cache_key: 'x-{{ checksum \"a.lock\" }}', mount: [lib]}}"
    )
    made = imported(
        Format.WOODPECKER,
        f"""\
        steps:
          restore: {plugin % "restore"}
          test: {{image: "node:22", commands: [npm test]}}
          rebuild: {plugin % "rebuild"}
        """,
    )
    (job,) = made.pipeline.jobs.values()
    assert [(cache.key, cache.files, cache.paths) for cache in job.caches] == [("x", ("a.lock",), ("lib",))]
    assert made.left == []


def test_a_step_whose_failure_is_ignored_does_not_decide() -> None:
    made = imported(
        Format.WOODPECKER,
        """
        steps:
          lint: {image: alpine, commands: [./lint, ./more], failure: ignore}
          test: {image: alpine, commands: [./test]}
        """,
    )
    (runs,) = [made.runs(name) for name in made.pipeline.jobs]
    assert runs == ["(\n./lint\n./more\n) &\nwait $! || true", "./test"]
    assert made.left == []


@pytest.mark.parametrize(
    ("trigger", "event"), [("push", "push"), ("tag", "tag"), ("pull", "pull_request"), ("person", "manual")]
)
def test_what_started_the_run_has_woodpeckers_word(trigger: str, event: str) -> None:
    made = imported(W, "steps: [{name: tell, image: alpine, commands: ['echo $CI_PIPELINE_EVENT']}]")
    (run,) = [made.runs(name)[0] for name in made.pipeline.jobs]
    said = subprocess.run(
        ["/bin/sh", "-ec", run], env={"FARMGATE_TRIGGER": trigger}, capture_output=True, text=True, check=True
    )
    assert said.stdout == f"{event}\n"
