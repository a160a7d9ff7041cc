"""`.travis.yml`, key by key."""

from __future__ import annotations

from farmgate.importing import Format
from tests.importing.conversions import imported

T = Format.TRAVIS


def test_versions_become_a_matrix_over_images() -> None:
    made = imported(T, "language: python\npython: ['3.9', '3.10']\ninstall: pip install tox\nscript: tox\n")
    assert [job.image for job in made.pipeline.jobs.values()] == ["python:3.9", "python:3.10"]
    assert made.left == []


def test_a_language_brings_its_own_commands() -> None:
    made = imported(T, "language: node_js\nnode_js: 18\n")
    assert made.job("test").image == "node:18"
    assert made.runs("test")[-1] == "npm test"
    assert "npm ci" in made.runs("test")[0]


def test_nothing_said_is_ruby_as_at_travis() -> None:
    made = imported(T, "script: rake spec\n")
    assert (made.job("test").image, made.runs("test")[-1]) == ("ruby:3", "rake spec")


def test_environments_multiply_and_shared_ones_stay() -> None:
    made = imported(
        T,
        """\
        language: go
        go: [1.21.x, 1.22.x]
        env:
          global: [CGO_ENABLED=0]
          jobs: [DB=none, DB="in memory"]
        script: go test ./...
        """,
    )
    cells = [(job.image, job.environment["DB"], job.environment["CGO_ENABLED"]) for job in made.pipeline.jobs.values()]
    assert cells == [
        ("golang:1.21", "none", "0"),
        ("golang:1.21", "in memory", "0"),
        ("golang:1.22", "none", "0"),
        ("golang:1.22", "in memory", "0"),
    ]


def test_what_may_fail_is_a_job_of_its_own() -> None:
    made = imported(
        T,
        """\
        language: rust
        rust: [stable, nightly]
        jobs:
          fast_finish: true
          allow_failures: [{rust: nightly}]
        """,
    )
    assert made.job("test").allow_failure is False
    assert made.job("test-may-fail").allow_failure is True
    assert made.job("test-may-fail").image == "rustlang/rust:nightly"


def test_included_jobs_have_their_own_commands_and_stages_their_order() -> None:
    made = imported(
        T,
        """\
        language: python
        stages: [lint, test]
        jobs:
          include:
            - {stage: test, name: Unit, python: 3.12, script: pytest}
            - {stage: lint, name: Style, python: 3.12, script: flake8}
        """,
    )
    assert list(made.pipeline.jobs) == ["style", "unit"]
    assert made.job("unit").needs == ("style",)


def test_another_system_is_left_with_its_place() -> None:
    made = imported(T, "language: generic\nos: [linux, osx]\nscript: make\n")
    assert made.left == ["2:1: a job on osx"]
    assert made.imported.steps_left == ("a job on osx",)


def test_an_encrypted_variable_a_package_and_a_delivery_are_left() -> None:
    made = imported(
        T,
        """\
        language: generic
        env: {global: [{secure: abc}]}
        addons: {apt: {packages: [libfoo-dev]}}
        services: [postgresql, docker]
        script: make
        deploy: {provider: pypi}
        """,
    )
    assert [said.partition(": ")[2] for said in made.left] == [
        "an encrypted variable",
        "packages: libfoo-dev",
        "steps have no Docker engine",
        "deploy to pypi",
    ]
    assert [(service.name, service.image) for service in made.job("test").services] == [("postgres", "postgres:16")]


def test_commands_of_one_shell_stay_together_from_where_one_sets_something() -> None:
    made = imported(T, "language: generic\nbefore_install: [make deps, cd sub]\nscript: [make, make test]\n")
    assert made.runs("test") == ["make deps", "cd sub\nmake\nmake test"]


def test_a_command_that_needs_root_is_taken_out_and_told() -> None:
    made = imported(
        T, "language: generic\nbefore_install: sudo apt-get install -y tidy && make deps\nscript: sudo make\n"
    )
    assert made.left == ["2:17: needs root: sudo apt-get install -y tidy", "3:9: needs root: sudo make"] or (
        made.left == ["2:17: needs root: sudo apt-get install -y tidy"]
    )
    assert made.runs("test")[0].endswith("make deps")
    assert "sudo" not in made.runs("test")[-1]


def test_what_pip_installs_is_found_without_root() -> None:
    made = imported(T, "language: python\npython: 3.12\ninstall: pip install tox\nscript: tox\n")
    assert made.runs("test")[-1] == 'export PATH="$HOME/.local/bin:$PATH"\ntox'


def test_branches_become_a_condition() -> None:
    made = imported(T, "language: generic\nscript: make\nbranches: {only: [main, /^release-.*$/], except: [old]}\n")
    assert made.job("test").when.branch == ("main", "release-*", "!old")


def test_an_expression_that_is_no_pattern_is_left() -> None:
    made = imported(T, "language: generic\nscript: make\nbranches: {only: [main, '/^(a|b)+$/']}\n")
    assert made.job("test").when.branch == ("main",)
    assert "is no pattern" in made.left[0]


def test_caches() -> None:
    made = imported(T, "language: generic\nscript: make\ncache: {pip: true, directories: [$HOME/.m2, /etc]}\n")
    assert {path for cache in made.job("test").caches for path in cache.paths} == {"~/.cache/pip", "~/.m2"}
    assert "cache of /etc" in made.left[0]


def test_what_follows_success_does_not_decide() -> None:
    made = imported(T, "language: generic\nscript: make\nafter_success: ./coverage.sh\nafter_failure: ./tell.sh\n")
    assert made.runs("test")[-1] == "(./coverage.sh) || true"
    assert made.imported.steps_left == ("after_failure",)


def test_travis_variables_are_ours() -> None:
    made = imported(T, "language: generic\nscript: echo $TRAVIS_COMMIT\n")
    assert made.runs("test") == ['export TRAVIS_COMMIT="$FARMGATE_SHA"\necho $TRAVIS_COMMIT']


def test_a_key_that_nobody_knows_is_listed() -> None:
    assert imported(T, "language: generic\nscript: make\nfrobnicate: 1\n").left == [
        "3:1: frobnicate of the file is not known to the importer"
    ]
