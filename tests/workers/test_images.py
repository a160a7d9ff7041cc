"""What an engine's words about a pull mean."""

from __future__ import annotations

from typing import Any

import pytest
from docker.errors import APIError, ImageNotFound
from tenacity import wait_none

from farmgate.errors import FarmgateError, ImageMissing, RegistryUnreachable
from workers.engines import images
from workers.engines.images import Images, registry_is_silent


class Engine:
    """Has no image; a pull says these words, one after the other, and once they are over all is well."""

    def __init__(self, *words: str) -> None:
        self.words = list(words)
        self.pulls = 0
        self.here = False

    def inspect_image(self, image: str) -> dict[str, str]:
        if not self.here:
            raise ImageNotFound("no such image")
        return {"Id": "sha256:1"}

    def pull(self, repository: str, **_: Any) -> Any:
        self.pulls += 1
        if self.words:
            word = self.words.pop(0)
            if word.startswith("!"):
                raise APIError(word[1:], explanation=word[1:])
            return [{"status": "Pulling"}, {"error": word}]
        self.here = True
        return [{"status": "done"}]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "wait_exponential_jitter", lambda **_: wait_none())


DNS = 'Get "https://registry.test/v2/": dial tcp: lookup registry.test: no such host'


@pytest.mark.parametrize(
    ("word", "kind", "remedy"),
    [
        ("!manifest for shop:9 not found: manifest unknown", ImageMissing, "Check its name and tag"),
        ("!pull access denied for shop, repository does not exist", ImageMissing, "docker login"),
        ("no matching manifest for linux/arm64", ImageMissing, "Check its name and tag"),
        (f"!{DNS}", RegistryUnreachable, "the node's network"),
        ("toomanyrequests: You have reached your pull rate limit", RegistryUnreachable, "the registry"),
        ("net/http: TLS handshake timeout", RegistryUnreachable, "the registry"),
    ],
)
def test_what_is_not_there_is_an_error_and_what_does_not_answer_is_lost(
    word: str, kind: type[FarmgateError], remedy: str
) -> None:
    engine = Engine(word, word, word)
    with pytest.raises(kind, match=remedy):
        Images().prepare(engine, "shop:9")
    assert engine.pulls == (1 if kind is ImageMissing else 3)


def test_a_registry_that_answers_in_the_end_is_enough() -> None:
    engine = Engine(DNS, f"!{DNS}")
    kept = Images()
    kept.prepare(engine, "shop:9")
    assert (engine.pulls, kept.id_of("shop:9")) == (3, "sha256:1")


@pytest.mark.parametrize(
    ("said", "silent"),
    [
        (DNS, True),
        ("toomanyrequests: slow down", True),
        ("pull access denied for nobody/nothing", False),
        ("The command '/bin/sh -c curl http://x' returned a non-zero code: 7", False),
        ("The command '/bin/sh -c echo dial tcp; false' returned a non-zero code: 1", False),
        ("COPY failed: file not found in build context", False),
    ],
)
def test_a_build_is_lost_only_where_what_it_stands_on_could_not_be_pulled(said: str, silent: bool) -> None:
    assert registry_is_silent(said) is silent
