"""Names of images in a registry, and whom its login is given to."""

from __future__ import annotations

import re

import pytest

from farmgate.errors import BadSettings, RegistryRefused, RegistryUnreachable
from farmgate.registries import Registry, host_of, place_of, tag_of
from farmgate.settings import SchedulerSettings, read
from workers.engines.images_pushed import refused

OURS = Registry("registry.test:5000/team", "builder", "secret")
_PATH = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")


@pytest.mark.parametrize(
    ("repository", "name", "place"),
    [
        ("shop", "web", "registry.test:5000/team/shop/web"),
        ("Shop_2", "Team/Web:1.2", "registry.test:5000/team/shop_2/team/web"),
        ("a..b", "web@sha256:1", "registry.test:5000/team/a.b/web"),
        ("-_", "web", "registry.test:5000/team/image/web"),
    ],
)
def test_an_image_is_pushed_under_its_repository_in_words_that_every_registry_takes(
    repository: str, name: str, place: str
) -> None:
    assert place_of(OURS, repository, name) == place
    assert _PATH.fullmatch(place.partition("/")[2])


def test_no_two_contents_have_the_same_tag() -> None:
    assert tag_of("a" * 40, "sha256:" + "1" * 64) == "a" * 12 + "-" + "1" * 12
    assert tag_of("a" * 40, "sha256:" + "2" * 64) != tag_of("a" * 40, "sha256:" + "1" * 64)


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("python:3.12", "docker.io"),
        ("team/shop", "docker.io"),
        ("registry.test/shop", "registry.test"),
        ("registry.test:5000/team/shop@sha256:1", "registry.test:5000"),
        ("localhost/shop", "localhost"),
    ],
)
def test_a_login_is_given_to_its_own_host_alone(image: str, host: str) -> None:
    assert host_of(image) == host
    assert (OURS.login_of(image) is not None) == (host == "registry.test:5000")
    assert Registry("registry.test:5000").login_of("registry.test:5000/a/b") is None
    assert "secret" not in repr(OURS)


@pytest.mark.parametrize(
    "text", ["https://registry.test", "Registry.test/a", "registry", "registry.test/", "r.test/a b"]
)
def test_an_address_that_is_none_is_refused_by_the_settings_name(text: str) -> None:
    with pytest.raises(BadSettings, match=r"FARMGATE_REGISTRY: .*HOST, HOST:PORT or HOST/PATH"):
        read(SchedulerSettings, registry=text)


def test_a_user_without_a_password_is_refused() -> None:
    for one, other in (("registry_user", "registry_password"), ("registry_password", "registry_user")):
        with pytest.raises(BadSettings, match=f"{other.upper()} is not"):
            read(SchedulerSettings, registry="registry.test", **{one: "x"}).images()
    found = read(SchedulerSettings, registry="r.test/a", registry_user="x", registry_password="y\n").images()
    assert found == Registry("r.test/a", "x", "y")
    assert read(SchedulerSettings).images() is None


@pytest.mark.parametrize(
    ("said", "kind", "remedy"),
    [
        ("unauthorized: authentication required", RegistryRefused, "FARMGATE_REGISTRY_PASSWORD"),
        ("denied: requested access to the resource is denied", RegistryRefused, "the user's rights"),
        ("no basic auth credentials", RegistryRefused, "FARMGATE_REGISTRY_USER"),
        ("http: server gave HTTP response to HTTPS client", RegistryRefused, "insecure-registries"),
        ("x509: certificate signed by unknown authority", RegistryRefused, "a certificate that the engine trusts"),
        ("name unknown: The repository does not exist in the registry", RegistryRefused, "FARMGATE_REGISTRY of"),
        ("dial tcp 10.0.0.1:443: connect: connection refused", RegistryUnreachable, "the node's network"),
        ("Get https://127.0.0.1:54057/v2/: dial tcp 127.0.0.1:40103: i/o timeout", RegistryUnreachable, "the registry"),
        ("received unexpected HTTP status: 405 Method Not Allowed", RegistryRefused, "FARMGATE_REGISTRY of"),
        ("received unexpected HTTP status: 503 Service Unavailable", RegistryUnreachable, "look at the registry"),
        ("blob upload unknown", RegistryUnreachable, "look at the registry"),
    ],
)
def test_what_an_engine_says_of_a_push_is_lost_infrastructure_or_names_the_setting(
    said: str, kind: type[Exception], remedy: str
) -> None:
    error = refused(OURS, "registry.test:5000/team/shop/web:1", said)
    assert type(error) is kind
    assert remedy in str(error)
    assert "secret" not in str(error)
