"""Commands that build images, as `builds`."""

from __future__ import annotations

from typing import Any

import pytest

from farmgate.importing import Format, Kind
from farmgate.importing.image_commands import build_of
from tests.importing.conversions import imported

SHOP = {"name": "shop"}


@pytest.mark.parametrize(
    ("command", "made"),
    [
        ("docker build -t shop .", SHOP),
        ("sudo docker build --pull --rm=false --label a=b --tag=registry.test/shop:1 .", SHOP),
        ("docker buildx build --platform linux/amd64 --push -t team/shop:$TAG \\\n  .", {"name": "team/shop"}),
        ("docker build -t shop -f ci/web.Dockerfile .", {**SHOP, "dockerfile": "ci/web.Dockerfile"}),
        ("docker build -t shop -f web/ci/Dockerfile web", {**SHOP, "context": "web", "dockerfile": "ci/Dockerfile"}),
        (
            "podman build --build-arg A=1 --target release -t shop .",
            {**SHOP, "target": "release", "arguments": {"A": "1"}},
        ),
        ('/kaniko/executor --context "${CI_PROJECT_DIR}/web" --destination "$X/shop:1"', {**SHOP, "context": "web"}),
        ("docker build -t $IMAGE .", {"name": "job"}),
        ("docker build --build-arg SHA=$SHA -t shop .", None),  # a value that only a shell knows
        ("docker build --platform linux/arm64 -t shop .", None),
        ("docker build --secret id=x -t shop .", None),
        ("docker build -t shop ../other", None),
        ("docker build -t shop -f other/Dockerfile web", None),  # not in its context
        ("docker build -t shop . | tee log", None),
        ("docker build -t 'shop .", None),
        ("docker run shop", None),
    ],
)
def test_a_build_of_plain_words_is_one_of_builds(command: str, made: dict[str, Any] | None) -> None:
    assert build_of(command, otherwise="job") == made


def test_what_only_logs_in_and_pushes_beside_a_build_is_needless() -> None:
    made = imported(
        Format.GITLAB,
        """\
        shop:
          image: docker:24
          services: [docker:24-dind]
          script:
            - echo "$PASSWORD" | docker login -u ci --password-stdin registry.test
            - cd web
            - docker build -t registry.test/team/web:$CI_COMMIT_SHA .
            - docker push registry.test/team/web:$CI_COMMIT_SHA
        """,
    )
    (build,) = made.job("shop").builds
    assert (build.name, build.context) == ("team/web", "web")
    assert made.left == []
    assert "is one of 'builds'" in made.said(Kind.LOOK)[-1]
    assert len([one for one in made.said(Kind.NEEDLESS) if "Farmgate keeps and pushes" in one]) == 2


def test_a_login_and_a_push_without_a_build_that_converts_are_left() -> None:
    made = imported(
        Format.WOODPECKER,
        """\
        steps:
          image:
            image: docker:24
            commands:
              - echo "$PASSWORD" | docker login -u ci --password-stdin
              - docker build --secret id=x -t shop .
              - docker push shop
              - echo end
        """,
    )
    assert [one.partition(": ")[2].split(":")[0] for one in made.left] == ["needs a Docker engine"] * 3
    assert made.imported.steps_left == ("a command needs a Docker engine",) * 3
    assert made.imported.steps_converted == 1


def test_two_builds_of_one_name_are_two_images() -> None:
    made = imported(
        Format.CIRCLECI,
        """\
        version: 2
        jobs:
          build:
            docker: [{image: docker}]
            steps:
              - checkout
              - setup_remote_docker
              - run: docker build -t shop . && docker build -t shop --target test .
        """,
    )
    assert [one.name for one in made.job("build").builds] == ["shop", "shop-2"]
    assert made.left == []
