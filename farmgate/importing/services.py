"""Databases and the like that other systems start by a word, as services beside the job.

Rules:
1. A service is reachable by its name, not at localhost: what names the host must be told so. `HOSTS` are the variables
   that the usual programs read.
2. It is ready when its port answers.
"""

from __future__ import annotations

import re
from typing import Any, Final

from farmgate.importing.draft import Draft, name_of

_KNOWN: Final[dict[str, tuple[str, int, dict[str, str]]]] = {
    "postgresql": ("postgres:16", 5432, {"POSTGRES_HOST_AUTH_METHOD": "trust"}),
    "postgres": ("postgres:16", 5432, {"POSTGRES_HOST_AUTH_METHOD": "trust"}),
    "mysql": ("mysql:8", 3306, {"MYSQL_ALLOW_EMPTY_PASSWORD": "yes"}),
    "mariadb": ("mariadb:11", 3306, {"MARIADB_ALLOW_EMPTY_ROOT_PASSWORD": "1"}),
    "redis-server": ("redis:7", 6379, {}),
    "redis": ("redis:7", 6379, {}),
    "mongodb": ("mongo:7", 27017, {}),
    "mongo": ("mongo:7", 27017, {}),
    "memcached": ("memcached:1", 11211, {}),
    "rabbitmq": ("rabbitmq:3", 5672, {}),
    "elasticsearch": ("elasticsearch:8.15.0", 9200, {"discovery.type": "single-node"}),
    "couchdb": ("couchdb:3", 5984, {}),
    "cassandra": ("cassandra:4", 9042, {}),
    "neo4j": ("neo4j:5", 7687, {"NEO4J_AUTH": "none"}),
}
_PORTS: Final = (
    ("postg", 5432),
    ("mysql", 3306),
    ("mariadb", 3306),
    ("percona", 3306),
    ("redis", 6379),
    ("valkey", 6379),
    ("mongo", 27017),
    ("memcached", 11211),
    ("rabbitmq", 5672),
    ("elasticsearch", 9200),
    ("opensearch", 9200),
    ("couchdb", 5984),
    ("cassandra", 9042),
    ("neo4j", 7687),
    ("minio", 9000),
    ("nats", 4222),
    ("clickhouse", 8123),
    ("zookeeper", 2181),
    ("etcd", 2379),
    ("mailhog", 1025),
    ("localstack", 4566),
    ("selenium", 4444),
    ("nginx", 80),
    ("docker", 2375),
)


def known(word: str, draft: Draft, version: str | None = None) -> bool:
    """Add a service that is named by a word; False if the word is not known."""
    found = _KNOWN.get(word)
    if found is None:
        return False
    image, port, environment = found
    if version and re.fullmatch(r"[0-9][0-9A-Za-z.]*", version):
        image = f"{image.partition(':')[0]}:{version}"
    name = word.removesuffix("-server").removesuffix("ql") if word == "postgresql" else word.removesuffix("-server")
    made: dict[str, Any] = {"image": image}
    if environment and not any("." in key for key in environment):
        made["environment"] = environment
    draft.services[name] = {**made, "health": port}
    return True


def named(image: str) -> str:
    """The name by which other systems reach a service of this image: `library/postgres:16` is postgres."""
    return name_of(re.sub(r"[:@].*$", "", image).rpartition("/")[2])


def port(image: str) -> int | None:
    """The port that an image of this name answers at, where it is well known."""
    plain = named(image)
    return next((number for word, number in _PORTS if word in plain), None)
