"""GitLab CI, key by key."""

from __future__ import annotations

import pytest

from farmgate.importing import Format, Kind, Source, convert
from tests.importing.conversions import imported

L = Format.GITLAB


def test_stages_are_needs_and_carry_artifacts() -> None:
    made = imported(
        L,
        """\
        image: python:3.12
        stages: [build, test]
        unit: {stage: test, script: [make test]}
        make: {stage: build, script: [make], artifacts: {paths: [dist/], expire_in: 1 week, when: always}}
        """,
    )
    assert list(made.pipeline.jobs) == ["make", "unit"]
    assert made.job("unit").needs == ("make",)
    assert [fetch.job for fetch in made.job("unit").fetch] == ["make"]
    (artifact,) = made.job("make").artifacts
    assert (artifact.paths, artifact.keep and artifact.keep.days, artifact.when) == (("dist/**",), 7, "always")
    assert made.job("unit").image == "python:3.12"


def test_extends_defaults_and_references_are_followed() -> None:
    made = imported(
        L,
        """\
        default: {before_script: [make deps], retry: 2}
        .base: {image: golang:1.22, variables: {A: "1"}}
        .more: {script: [make lint]}
        test:
          extends: .base
          variables: {B: "2"}
          script:
            - !reference [.more, script]
            - make test
        """,
    )
    job = made.job("test")
    assert (job.image, dict(job.environment)) == ("golang:1.22", {"A": "1", "B": "2"})
    assert made.runs("test") == ["make deps", "make lint", "make test"]
    assert job.retry is not None
    assert job.retry.times == 2


@pytest.mark.parametrize(
    ("rule", "key", "value"),
    [
        ("$CI_COMMIT_TAG", "event", ("tag",)),
        ('$CI_PIPELINE_SOURCE == "merge_request_event"', "event", ("pull",)),
        ('$CI_COMMIT_BRANCH == "main"', "branch", ("main",)),
        ("$CI_COMMIT_BRANCH =~ /^release-/", "branch", ("release-*",)),
    ],
)
def test_a_rule_is_a_condition(rule: str, key: str, value: object) -> None:
    made = imported(L, f"a:\n  script: [make]\n  rules:\n    - if: '{rule}'\n")
    assert getattr(made.job("a").when, key) == value
    assert made.left == []


def test_a_rule_that_cannot_be_said_is_left() -> None:
    made = imported(L, "a:\n  script: [make]\n  rules:\n    - if: '$DEPLOY == \"yes\"'\n")
    assert made.left == ['4:7: a rule: $DEPLOY == "yes"']


def test_only_and_except() -> None:
    made = imported(L, "a: {script: [make], only: [main], except: [tags]}\n")
    assert made.job("a").when.branch == ("main",)
    assert made.job("a").when.event == ("push", "pull", "person")


def test_a_manual_job_waits_for_a_person() -> None:
    made = imported(
        L, "a: {script: [make]}\nship: {stage: deploy, when: manual, script: [make ship], environment: production}\n"
    )
    assert made.job("start-ship").approve is not None
    assert set(made.job("ship").needs) >= {"start-ship"}
    assert made.job("ship").deploys_to == "production"


def test_a_matrix_services_caches_and_reports() -> None:
    made = imported(
        L,
        """\
        test:
          image: python:$V
          parallel: {matrix: [{V: ["3.11", "3.12"]}]}
          services: [{name: "postgres:16", alias: db}]
          variables: {POSTGRES_PASSWORD: x}
          cache: {key: {files: [poetry.lock]}, paths: [.venv]}
          script: [pytest --junitxml=report.xml]
          artifacts: {reports: {junit: report.xml, coverage_report: {coverage_format: cobertura, path: cov.xml}}}
          timeout: 1h 30m
          allow_failure: {exit_codes: [137]}
        """,
    )
    first, second = made.pipeline.jobs.values()
    assert (first.image, second.image) == ("python:3.11", "python:3.12")
    assert [(service.name, service.environment["POSTGRES_PASSWORD"]) for service in first.services] == [("db", "x")]
    assert (first.caches[0].files, first.reports.junit, first.reports.cobertura) == (
        ("poetry.lock",),
        ("report.xml",),
        ("cov.xml",),
    )
    assert (first.timeout.total_seconds(), first.allow_failure) == (5400, (137,))


def test_an_include_is_read_where_it_was_given_and_left_otherwise() -> None:
    main = "include: [{local: /ci/more.yml}, {project: a/b, file: /x.yml}]\na: {extends: .b}\n"
    sources = [Source(".gitlab-ci.yml", main), Source("ci/more.yml", ".b: {script: [make]}\n")]
    made = convert(sources, L)
    assert made.steps_converted == 1
    assert [remark.problem.message for remark in made.of(Kind.LEFT)] == ["includes project a/b"]


def test_docker_root_child_pipelines_and_coverage_are_left() -> None:
    made = imported(
        L,
        """\
        a:
          services: [docker:dind]
          before_script: [apk add git]
          script: [docker run shop, make]
          coverage: '/TOTAL (.*)/'
        b: {trigger: {include: x.yml}}
        """,
    )
    assert made.runs("a") == ["make"]
    assert made.imported.steps_left == (
        "a command needs root",
        "a command needs a Docker engine",
        "starts another pipeline",
    )
    assert len(made.left) == 6


def test_needs_with_and_without_artifacts() -> None:
    made = imported(
        L,
        """\
        a: {script: [make], artifacts: {paths: [out.bin]}}
        b: {script: [make b], needs: [{job: a, artifacts: false}]}
        c: {script: [make c], needs: [a]}
        d: {script: [make d], needs: []}
        """,
    )
    assert [made.job(name).needs for name in "bcd"] == [("a",), ("a",), ()]
    assert [len(made.job(name).fetch) for name in "bc"] == [0, 1]


def test_a_key_that_nobody_knows_is_listed() -> None:
    made = imported(L, "a: {script: [make], frobnicate: 1}\n")
    assert made.left == ["1:21: frobnicate of a job is not known to the importer"]


def test_a_cache_of_the_jobs_name_is_the_jobs_own_and_untracked_files_are_told() -> None:
    made = imported(
        L,
        """\
        cache: {key: "$CI_JOB_NAME", untracked: true, paths: [node_modules/]}
        test:node8: {script: [npm test]}
        test:node10: {script: [npm test]}
        """,
    )
    assert [made.job(name).caches[0].key for name in ("test-node8", "test-node10")] == ["test-node8", "test-node10"]
    assert any("not every file that git does not know" in one for one in made.said(Kind.LOOK))
