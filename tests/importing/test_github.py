"""GitHub Actions, key by key."""

from __future__ import annotations

import subprocess
from textwrap import indent

import pytest

from farmgate.importing import Format, Kind, convert
from farmgate.importing.sources import Source
from tests.importing.conversions import Result, imported

G = Format.GITHUB


def job(body: str, head: str = "on: [push, pull_request]\n") -> Result:
    """A workflow with one job called `test`."""
    return imported(G, f"{head}jobs:\n  test:\n    runs-on: ubuntu-latest\n{indent(body, '    ')}")


def steps(*lines: str) -> str:
    return "steps:\n" + "".join(f"  - {line}\n" for line in lines)


def test_on_is_a_word_and_not_true() -> None:
    made = imported(G, "on: push\njobs: {a: {runs-on: ubuntu-22.04, steps: [{run: make}]}}\n")
    assert made.job("a").when.event == ("push", "tag")
    assert made.job("a").image == "buildpack-deps:22.04"
    assert made.left == []


def test_a_checkout_is_needless_and_a_language_is_the_image() -> None:
    made = job(
        steps(
            "uses: actions/checkout@v4",
            "uses: actions/setup-python@v5\n    with: {python-version: '3.12'}",
            "run: pytest",
        )
    )
    assert (made.job("test").image, made.runs("test")) == ("python:3.12", ["pytest"])
    assert made.left == []
    assert made.imported.steps_converted == 3


def test_a_second_language_is_left() -> None:
    made = job(
        steps(
            "uses: actions/setup-go@v5\n    with: {go-version: '1.22'}",
            "uses: actions/setup-node@v4\n    with: {node-version: 20}",
            "run: make",
        )
    )
    assert made.job("test").image == "golang:1.22"
    assert "node beside go" in made.left[0]


def test_a_matrix_with_include_exclude_and_limits() -> None:
    made = job(
        """\
strategy:
  fail-fast: false
  max-parallel: 2
  matrix:
    python-version: ['3.11', '3.12']
    db: [none, lite]
    exclude: [{python-version: '3.11', db: lite}]
    include: [{python-version: '3.13', db: none}]
steps:
  - uses: actions/setup-python@v5
    with: {python-version: "${{ matrix.python-version }}"}
  - run: tox -e ${{ matrix.db }}
"""
    )
    cells = [(one.image, one.steps[0].run, one.family_at_once) for one in made.pipeline.jobs.values()]
    assert cells == [
        ("python:3.11", "tox -e none", 2),
        ("python:3.12", "tox -e none", 2),
        ("python:3.12", "tox -e lite", 2),
        ("python:3.13", "tox -e none", 2),
    ]


def test_other_systems_of_a_matrix_are_left() -> None:
    made = imported(
        G,
        """\
        on: push
        jobs:
          test:
            runs-on: ${{ matrix.os }}
            strategy: {matrix: {os: [ubuntu-latest, windows-latest], v: [1, 2]}}
            steps: [{run: 'make V=${{ matrix.v }}'}]
        """,
    )
    assert [one.steps[0].run for one in made.pipeline.jobs.values()] == ["make V=1", "make V=2"]
    assert made.left == ["5:16: 2 combinations on other systems than Linux"]


def test_mappings_of_a_matrix_are_made_flat() -> None:
    made = job(
        "strategy: {matrix: {config: [{cc: gcc, std: 11}, {cc: clang, std: 17}]}}\n"
        + steps("run: make CC=${{ matrix.config.cc }}")
    )
    assert [one.steps[0].run for one in made.pipeline.jobs.values()] == ["make CC=gcc", "make CC=clang"]


def test_environment_on_three_levels() -> None:
    made = imported(
        G,
        """\
        on: push
        env: {A: 1}
        jobs:
          test:
            runs-on: ubuntu-latest
            env: {B: 2}
            steps:
              - run: make
                env: {C: 3}
        """,
    )
    assert dict(made.job("test").environment) == {"A": "1", "B": "2"}
    assert dict(made.job("test").steps[0].environment) == {"C": "3"}


def test_secrets_are_named() -> None:
    made = job("env: {TOKEN: '${{ secrets.DEPLOY_TOKEN }}'}\n" + steps('run: login -p "${{ secrets.OTHER }}"'))
    assert dict(made.job("test").secrets) == {"TOKEN": "DEPLOY_TOKEN", "OTHER": "OTHER"}
    assert made.runs("test") == ['login -p "${OTHER}"']


def test_what_is_known_of_the_commit_is_a_variable_also_within_single_quotes() -> None:
    made = job(steps("run: echo ${{ github.sha }}", "run: echo 'at ${{ github.ref }}'"))
    assert made.runs("test") == ["echo $FARMGATE_SHA", "echo 'at '\"$FARMGATE_REF\"''"]


def test_what_only_github_knows_leaves_the_step() -> None:
    made = job(steps("run: echo ${{ github.actor }}", "run: make"))
    assert made.runs("test") == ["make"]
    assert made.left == ["6:9: ${{ github.actor }} in a command"]
    assert "# TODO(import) .github/workflows/ci.yml:6:" in made.text


def test_a_steps_condition_is_its_first_line() -> None:
    made = job(steps("run: make\n    if: github.event_name == 'push' && github.ref == 'refs/heads/main'"))
    (asked,) = made.runs("test")[0].splitlines()[:1]
    assert asked.startswith(
        'if ! { case "$FARMGATE_TRIGGER" in push|tag) true ;; *) false ;; esac && [ "$FARMGATE_REF"'
    )


def test_a_step_that_never_runs_on_linux_is_needless() -> None:
    made = job(steps("run: dir\n    if: runner.os == 'Windows'", "run: ls\n    if: runner.os == 'Linux'"))
    assert made.runs("test") == ["ls"]
    assert made.left == []


def test_a_step_after_a_failure_is_left() -> None:
    made = job(steps("run: make", "run: ./tell\n    if: failure()"))
    assert made.imported.steps_left == ("runs after a failure",)


@pytest.mark.parametrize(
    ("condition", "key", "value"),
    [
        ("github.ref == 'refs/heads/main'", "branch", ("main",)),
        ("startsWith(github.ref, 'refs/tags/v')", "tag", ("v*",)),
        ("github.event_name == 'pull_request'", "event", ("pull",)),
        ("always()", "result", "always"),
        ("failure()", "result", "failed"),
        ("github.ref != 'refs/heads/old'", "branch", ("**", "!old")),
    ],
)
def test_a_jobs_condition(condition: str, key: str, value: object) -> None:
    first = "on: [push, pull_request]\njobs:\n  first: {runs-on: ubuntu-latest, steps: [{run: make}]}\n"
    made = imported(
        G, f'{first}  test: {{needs: first, if: "{condition}", runs-on: ubuntu-latest, steps: [{{run: make}}]}}\n'
    )
    assert getattr(made.job("test").when, key) == value
    assert made.left == []


def test_what_starts_a_workflow() -> None:
    head = "on:\n  push: {branches: [main], paths-ignore: ['docs/**']}\n  schedule: [{cron: '0 0 * * *'}]\n"
    made = job(steps("run: make"), head)
    assert (made.job("test").when.branch, made.job("test").when.event) == (("main",), ("push",))
    assert made.job("test").when.paths == ("**", "!docs/**")
    assert made.left == ["3:3: a schedule"]


def test_a_workflow_of_the_forge_stays_there() -> None:
    made = convert(
        [Source(".github/workflows/x.yml", "on: issues\njobs: {a: {runs-on: ubuntu-latest, steps: [{run: x}]}}\n")], G
    )
    assert made.text is None
    assert made.steps_left == ("a workflow that the forge starts",)


def test_several_workflows_are_one_pipeline() -> None:
    first = "a: {runs-on: ubuntu-latest, steps: [{run: make}]}"
    one = f"on: push\njobs: {{{first}, b: {{needs: a, runs-on: ubuntu-latest, steps: [{{run: x}}]}}}}\n"
    made = imported(G, lint=one, test=one)
    assert list(made.pipeline.jobs) == ["lint-a", "lint-b", "test-a", "test-b"]
    assert made.job("test-b").needs == ("test-a",)


def test_services_with_health() -> None:
    made = job(
        """\
services:
  db:
    image: postgres:16
    env: {POSTGRES_PASSWORD: x}
    options: >-
      --health-cmd "pg_isready -U postgres" --health-interval 10s
  redis: {image: 'redis:7'}
steps: [{run: make}]
"""
    )
    db, redis = made.job("test").services
    assert (db.image, db.health and db.health.command) == ("postgres:16", "pg_isready -U postgres")
    assert redis.health is not None
    assert redis.health.port == 6379


def test_artifacts_go_from_job_to_job() -> None:
    made = imported(
        G,
        """\
        on: push
        jobs:
          build:
            runs-on: ubuntu-latest
            steps:
              - run: make
              - uses: actions/upload-artifact@v4
                with: {name: out, path: dist/, retention-days: 5, if-no-files-found: error}
          test:
            needs: build
            runs-on: ubuntu-latest
            steps:
              - uses: actions/download-artifact@v4
                with: {name: out}
              - run: make test
          other:
            needs: build
            runs-on: ubuntu-latest
            steps: [{run: make other}]
        """,
    )
    (artifact,) = made.job("build").artifacts
    assert (artifact.paths, artifact.keep and artifact.keep.days, artifact.optional) == (("dist/**",), 5, False)
    assert [fetch.job for fetch in made.job("test").fetch] == ["build"]
    assert made.job("other").fetch == ()


def test_caches_images_limits_and_places() -> None:
    made = job(
        """\
timeout-minutes: 90
continue-on-error: true
container: node:20
defaults: {run: {working-directory: web}}
steps:
  - uses: actions/cache@v4
    with: {path: ~/.npm, key: "${{ runner.os }}-npm-${{ hashFiles('**/package-lock.json') }}"}
  - run: npm test
  - run: print(1)
    shell: python
    working-directory: tools
"""
    )
    found = made.job("test")
    assert (found.image, found.timeout.total_seconds(), found.allow_failure) == ("node:20", 5400, True)
    assert [(cache.key, cache.files, cache.paths) for cache in found.caches] == [
        ("linux-npm", ("**/package-lock.json",), ("~/.npm",))
    ]
    assert [(step.working_directory, step.shell) for step in found.steps] == [("web", None), ("tools", "python3")]


def test_an_image_is_built_by_the_node() -> None:
    made = job(
        steps(
            "uses: docker/build-push-action@v6\n"
            "    with: {context: web, push: true, tags: 'images.example.org/acme/shop:latest', build-args: 'V=1'}"
        )
    )
    (build,) = made.job("test").builds
    assert (build.name, build.context, build.dockerfile, dict(build.arguments)) == (
        "acme/shop",
        "web",
        "web/Dockerfile",
        {"V": "1"},
    )


def test_values_are_handed_to_later_steps() -> None:
    made = job(steps("id: v\n    run: echo version=1 >> $GITHUB_OUTPUT", "run: make V=${{ steps.v.outputs.version }}"))
    assert made.runs("test")[0].startswith('export GITHUB_OUTPUT="$TMPDIR/v.out"')
    assert "sed -n 's/^version=//p' \"$TMPDIR/v.out\"" in made.runs("test")[1]
    assert made.left == []


def test_an_identity_and_a_group() -> None:
    made = job("permissions: {id-token: write}\nconcurrency: deploy\nenvironment: production\n" + steps("run: make"))
    found = made.job("test")
    assert found.deploys_to == "production"
    assert found.concurrency is not None
    assert (found.concurrency.group, "ID_TOKEN" in found.identity) == ("deploy", True)


def test_actions_that_are_a_command() -> None:
    made = job(
        steps("uses: pre-commit/action@v3", "uses: golangci/golangci-lint-action@v6\n    with: {version: v1.60.1}")
    )
    assert "pre-commit run" in made.runs("test")[0]
    assert made.job("test").steps[1].image == "golangci/golangci-lint:v1.60.1"


def test_other_actions_and_reusable_workflows_are_left_with_a_remedy() -> None:
    made = job(steps("uses: codecov/codecov-action@v4", "uses: ./.github/actions/x", "run: make"))
    assert [said.partition(": ")[2] for said in made.left] == [
        "action codecov/codecov-action",
        "an action of this repository",
    ]
    remedies = [remark.problem.suggestion for remark in made.imported.of(Kind.LEFT)]
    assert "cobertura" in str(remedies[0])


def test_a_key_that_nobody_knows_is_listed() -> None:
    made = job("frobnicate: 1\n" + steps("run: make"))
    assert made.left == ["5:5: frobnicate of a job is not known to the importer"] or "frobnicate" in made.left[0]


PYPY = """\
strategy:
  matrix:
    python: ['3.12', pypy-3.11, 3.x]
    db: [a, b]
"""


def test_each_cell_of_a_matrix_has_the_image_of_its_version() -> None:
    made = job(
        PYPY + steps("uses: actions/setup-python@v5\n    with: {python-version: '${{ matrix.python }}'}", "run: x")
    )
    found = {cell.matrix["python"]: cell.image for cell in made.pipeline.jobs.values()}
    assert found == {"3.12": "python:3.12", "pypy-3.11": "pypy:3.11", "3.x": "python:3"}
    assert len(made.pipeline.jobs) == 6


def test_listed_cells_have_it_too_and_plain_versions_need_no_more() -> None:
    use = steps("uses: actions/setup-python@v5\n    with: {python-version: '${{ matrix.py }}'}", "run: x")
    listed = job("strategy:\n  matrix: {include: [{py: '3.12', e: a}, {py: pypy3.10, e: b}]}\n" + use)
    assert [cell.image for cell in listed.pipeline.jobs.values()] == ["python:3.12", "pypy:3.10"]
    plain = job("strategy:\n  matrix: {py: ['3.11', '3.12']}\n" + use)
    assert [dict(cell.matrix) for cell in plain.pipeline.jobs.values()] == [{"py": "3.11"}, {"py": "3.12"}]


@pytest.mark.parametrize(
    ("first", "image", "command"),
    [
        ("uses: actions/checkout@v4", "python:3", "pip install uv"),
        ("uses: actions/setup-python@v5\n    with: {python-version: '3.11'}", "python:3.11", "pip install uv"),
        (
            "uses: actions/setup-node@v4\n    with: {node-version: 20}",
            "node:20",
            "curl -LsSf https://astral.sh/uv/install.sh | sh",
        ),
    ],
)
def test_uv_comes_by_pip_only_where_there_is_pip(first: str, image: str, command: str) -> None:
    made = job(steps(first, "uses: astral-sh/setup-uv@v5\n    with: {enable-cache: true}", "run: uv run pytest"))
    assert (made.job("test").image, made.runs("test")[0]) == (image, command)


def test_a_tool_that_pip_installs_brings_pythons_image() -> None:
    made = job(steps("uses: pre-commit/action@v3.0.1"))
    assert made.job("test").image == "python:3"


def test_a_job_elsewhere_stays_elsewhere_after_a_step_that_is_left_for_another_reason() -> None:
    made = imported(
        Format.GITHUB,
        """
        jobs:
          windows:
            runs-on: windows-latest
            steps:
              - uses: somebody/installs-a-compiler@v1
              - run: nmake
          here:
            runs-on: ubuntu-latest
            steps:
              - run: make
        """,
    )
    assert "windows" not in made.pipeline.jobs
    assert made.imported.steps_left == ("action somebody/installs-a-compiler", "runs on another system")


def test_what_no_combination_says_is_nothing() -> None:
    made = job(
        "strategy: {matrix: {py: ['3.11', '3.12'], include: [{py: '3.12', extra: docs}]}}\n"
        + steps("run: tox ${{ matrix.extra }} ${{ matrix.nowhere }} now", "if: matrix.nowhere\n    run: never")
    )
    assert sorted(run for cell in made.pipeline.jobs.values() for run in [cell.steps[0].run]) == [
        "tox   now",
        "tox docs  now",
    ]
    assert all(len(cell.steps) == 1 for cell in made.pipeline.jobs.values())


def test_a_matrix_that_is_computed_may_say_anything() -> None:
    made = job("strategy: {matrix: {py: '${{ fromJSON(x) }}'}}\n" + steps("run: tox ${{ matrix.extra }}", "run: make"))
    assert made.runs("test") == ["make"]
    assert "${{ matrix.extra }} in a command" in " ".join(made.left)


def test_the_shell_chooses_what_differs_between_combinations() -> None:
    made = job(
        "strategy: {matrix: {rust: [stable, nightly]}}\n"
        + steps(
            "env: {FLAGS: \"say \\\"x\\\" ${{ matrix.rust == 'nightly' && '-Z build-std' || '-O' }}\"}\n"
            "    run: cargo test ${{ matrix.rust == 'nightly' && '--all' }}"
        )
    )
    run = next(cell.steps[0].run for cell in made.pipeline.jobs.values() if cell.matrix["rust"] == "nightly")
    said = subprocess.run(
        ["/bin/sh", "-ec", run.replace("cargo test", 'echo "$FLAGS"; echo')],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == 'say "x" -Z build-std\n--all\n'


def test_a_step_without_one_of_its_variables_is_not_converted() -> None:
    made = job(steps("env: {TOKEN: '${{ steps.auth.outputs.token }}'}\n    run: make publish"))
    assert made.imported.steps_left == ("a variable that only GitHub knows",)


def test_a_push_is_also_that_of_a_tag_and_a_false_flag_of_the_matrix_is_false() -> None:
    made = job(
        "strategy: {matrix: {cover: [true, false]}}\n"
        + steps("if: matrix.cover\n    run: cover", "if: github.event_name == 'push'\n    run: push")
    )
    one, two = next(iter(made.pipeline.jobs.values())).steps
    assert "in ''|false|0) false ;;" in one.run
    assert 'case "$FARMGATE_TRIGGER" in push|tag) true ;;' in two.run


@pytest.mark.parametrize(
    ("step", "runs"),
    [
        ("uses: taiki-e/install-action@nextest", ["cargo install --locked cargo-nextest"]),
        (
            "uses: taiki-e/install-action@v2\n    with: {tool: 'cargo-hack@0.6.1'}",
            ["cargo install --locked cargo-hack --version 0.6.1"],
        ),
        (
            "uses: actions-rs/cargo@v1\n    with: {toolchain: nightly, command: test, args: --all}",
            ["cargo +nightly test --all"],
        ),
        (
            "uses: baptiste0928/cargo-install@v3\n    with: {crate: mdbook, version: '0.4'}",
            ["cargo install --locked mdbook --version 0.4"],
        ),
        (
            "uses: obi1kenobi/cargo-semver-checks-action@v2",
            ["cargo install --locked cargo-semver-checks\ncargo semver-checks"],
        ),
    ],
)
def test_what_cargo_installs_has_cargos_image(step: str, runs: list[str]) -> None:
    made = job(steps(step))
    assert (made.runs("test"), made.job("test").image) == (runs, "rust:1")


def test_a_tool_that_is_no_crate_is_left_and_so_is_a_cross_build() -> None:
    made = job(
        steps(
            "uses: taiki-e/install-action@valgrind",
            "uses: actions-rs/cargo@v1\n    with: {use-cross: true, command: build}",
            "run: make",
        )
    )
    assert made.imported.steps_left == ("something of taiki-e/install-action", "something of actions-rs/cargo")


def test_a_step_whose_failure_does_not_decide_ends_at_its_first_failure_and_the_job_goes_on() -> None:
    made = job(
        steps("run: |\n      echo one\n      false\n      echo two\n    continue-on-error: true", "run: echo three")
    )
    (first, second) = made.runs("test")
    said = subprocess.run(["/bin/sh", "-ec", f"{first}\n{second}"], capture_output=True, text=True, check=True)
    assert said.stdout == "one\nthree\n"
    assert made.left == []


def test_a_failure_that_an_expression_forgives_is_left() -> None:
    made = job(
        "strategy: {matrix: {rust: [stable, nightly]}}\n"
        + steps("run: make\n    continue-on-error: ${{ matrix.rust == 'nightly' }}", "run: make more")
    )
    assert made.imported.steps_left == ("whether its failure decides is computed",)


def test_a_command_of_which_a_matrix_leaves_nothing_does_nothing() -> None:
    made = job("env: {B: 2}\nstrategy: {matrix: {v: [1]}}\n" + steps("{run: '${{ matrix.more.of }}', env: {A: 1}}"))
    (one,) = made.pipeline.jobs.values()
    assert [step.run for step in one.steps] == [":"]
