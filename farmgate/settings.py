"""Settings: read once per process, then handed down. The only module that reads the environment.

Rules:
1. One class per process kind; every field is described; no global.
2. A setting comes from the environment (`FARMGATE_...`), else from a secret file of the same name in lower case below
   `/run/secrets` (or `FARMGATE_SECRETS_DIR`), else from its default.
3. The defaults make the embedded farm: SQLite, a private Redis, local files, loopback only.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from farmgate.errors import BadSettings
from farmgate.registries import Registry, address

LABEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def _labels(value: object) -> object:
    """`arch=arm64,gpu=a100`, as jobs write them: a name as of a pool, any text as the value."""
    if not isinstance(value, str):
        return value
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        name, equals, text = part.partition("=")
        if not equals or LABEL.fullmatch(name.strip()) is None:
            raise ValueError(f"{part!r} is not NAME=VALUE; a name has lower-case letters, digits, - and _")
        found[name.strip()] = text.strip()
    return found


Labels = Annotated[dict[str, str], NoDecode, BeforeValidator(_labels)]


class CommonSettings(BaseSettings):
    """What every process of the control plane needs."""

    model_config = SettingsConfigDict(env_prefix="FARMGATE_", extra="ignore", frozen=True)

    data: Path = Field(Path("data"), description="the data folder: database, mirrors, blobs, keys")
    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL; default: SQLite in WAL mode in the data folder"
    )
    broker_url: SecretStr | None = Field(None, description="Redis URL; default: the private Redis of `farmgate up`")
    blobs_url: str | None = Field(
        None, description="where blobs live: a folder, or s3://bucket/prefix; default: data/blobs"
    )
    s3_endpoint: str | None = Field(None, description="endpoint of an S3-compatible store; default: the cloud's own")
    s3_access_key: SecretStr | None = Field(None, description="access key for the S3 store; default: boto3's own chain")
    s3_secret_key: SecretStr | None = Field(None, description="secret key for the S3 store")
    s3_region: str = Field("us-east-1", description="region of the S3 store")
    s3_create_bucket: bool = Field(False, description="make the bucket if the S3 store has none of that name")
    secret_key: SecretStr | None = Field(
        None, description="key that hashes tokens and encrypts secrets; default: drawn once into data/secret.key"
    )
    sealing_keys: SecretStr | None = Field(
        None, description="keys that seal secrets, as id=key,id=key, the newest last; default: data/sealing.keys"
    )
    registry: Annotated[str, AfterValidator(address)] | None = Field(
        None,
        description="registry that built images are pushed to: HOST, HOST:PORT or HOST/PATH; default: the blob store",
    )
    registry_user: str | None = Field(None, min_length=1, description="user of the registry; default: the engine's own")
    registry_password: SecretStr | None = Field(None, description="password or token of the registry's user")
    embedded: bool = Field(False, description="one machine, one user: set by `farmgate up` and `farmgate demo`")
    log_format: str = Field("text", pattern="^(text|json)$", description="how the processes log: text or json")

    def images(self) -> Registry | None:
        """The farm's registry. Raises BadSettings."""
        for given, other in (("registry_user", "registry_password"), ("registry_password", "registry_user")):
            if getattr(self, given) is not None and getattr(self, other) is None:
                raise BadSettings(
                    f"FARMGATE_{given.upper()} is set, and FARMGATE_{other.upper()} is not: set both, or none"
                )
        if self.registry is None:
            return None
        password = self.registry_password.get_secret_value().strip() if self.registry_password is not None else None
        return Registry(self.registry, self.registry_user, password)


class SchedulerSettings(CommonSettings):
    """The web application and its loop."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8470, ge=1, le=65535, description="port to listen on")
    public_url: str | None = Field(None, description="how people and forges reach this server; default: host and port")
    webhook_limit_bytes: int = Field(5 * 2**20, description="largest webhook body taken")
    lease: timedelta = Field(timedelta(seconds=30), description="how long a claim lasts without a renewal")
    ring_again: timedelta = Field(timedelta(seconds=5), description="how long a bell may go unanswered at first")
    poll_every: timedelta = Field(
        timedelta(seconds=60), description="how often repositories are asked for what webhooks missed"
    )
    silent_after: timedelta = Field(timedelta(seconds=30), description="heartbeat age at which a node counts as silent")
    infrastructure_retries: int = Field(3, ge=0, description="new attempts a job gets for lost infrastructure")
    clean_up_within: timedelta = Field(
        timedelta(minutes=15),
        ge=timedelta(0),
        description="time that a cancelled run's jobs have that clean up after it",
    )
    look_ahead: float = Field(0.5, ge=0, description="jobs sent beyond the free slots, as a share of all slots")
    push_limit: int = Field(
        500, ge=1, description="commits of one push that get a run; older ones are recorded without"
    )
    log_limit_bytes: int = Field(
        2**30, description="log bytes kept per attempt; beyond it the log says that it was cut"
    )
    artifact_limit_bytes: int = Field(2 * 2**30, description="largest artifact taken")
    artifact_keep: timedelta = Field(
        timedelta(days=90), description="how long artifacts are kept where the pipeline file does not say"
    )
    runs_kept: int = Field(200, ge=1, description="newest runs of each repository that stay whole, whatever their age")
    runs_most: int = Field(
        100_000, ge=1, description="most runs of a repository that are kept, whatever their age; older ones go first"
    )
    branch_runs_most: int | None = Field(
        None, ge=1, description="most runs of one branch, tag or pull request that are kept; default: no such bound"
    )
    log_keep: timedelta = Field(timedelta(days=180), description="how long the logs of older runs are kept")
    report_keep: timedelta = Field(
        timedelta(days=365), description="how long single results and report files of older runs are kept"
    )
    run_keep: timedelta = Field(
        timedelta(days=730), description="how long older runs are kept at all, unless delivery knows them"
    )
    blob_grace: timedelta = Field(
        timedelta(hours=1), ge=timedelta(minutes=1), description="how long a blob stays that nothing names any more"
    )
    sweep_every: timedelta = Field(
        timedelta(minutes=15),
        description="how often what is too old, and blobs without a name, are removed",
    )
    cache_limit_bytes: int = Field(2 * 2**30, ge=0, description="largest archive of one cache taken")
    caches_limit_bytes: int = Field(
        10 * 2**30, ge=0, description="bytes of all caches of one repository; the least recently used go first"
    )
    identity_issuer: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#]+$",
        description="who signs identity tokens, if not FARMGATE_PUBLIC_URL: an address that has copies of the keys",
    )
    identity_longest: timedelta = Field(
        timedelta(hours=24),
        ge=timedelta(minutes=1),
        le=timedelta(hours=24),
        description="longest life of an identity token, whatever time its job has",
    )
    identity_ahead: timedelta = Field(
        timedelta(hours=1),
        ge=timedelta(0),
        le=timedelta(days=7),
        description="how long a new signing key is published before it signs",
    )
    identity_rotate: timedelta = Field(
        timedelta(days=90),
        ge=timedelta(days=1),
        description="age at which the key that signs identity tokens is followed by a new one",
    )
    git_timeout: timedelta = Field(timedelta(minutes=2), description="longest git fetch")
    join_token: SecretStr | None = Field(
        None, min_length=32, description="lets any number of nodes join; default: only one-time tokens do"
    )


class DeploySettings(CommonSettings):
    """The deploy loop."""

    public_url: str = Field("http://127.0.0.1:8470", description="where people find the pages, for messages")
    tick: timedelta = Field(timedelta(seconds=1), description="longest pause between two looks at the lanes")
    alive_file: Path | None = Field(None, description="touched after every look at the lanes, for health checks")
    in_container: bool = Field(
        False,
        description="this loop runs in a container on the engine that it deploys to: it joins the instances' network, "
        "where otherwise it reaches them on the loopback",
    )


class NodeSettings(BaseSettings):
    """The agent of a node and the workers it supervises. No database credential here."""

    model_config = SettingsConfigDict(env_prefix="FARMGATE_", extra="ignore", frozen=True)

    server: str = Field("http://127.0.0.1:8470", description="the scheduler's address")
    node_data: Path = Field(Path("data/node"), description="the node's folder: credential, mirrors, workspaces")
    node_name: str | None = Field(None, description="how the node is called; default: the host's name")
    join_token: SecretStr | None = Field(None, description="token that lets the node join, on its first start")
    passing: bool = Field(
        False, description="leave the farm at the end, and the folder empty: for containers that are not kept"
    )
    alive_file: Path | None = Field(None, description="touched at every heartbeat that was answered, for health checks")
    slots: int = Field(2, ge=1, le=256, description="jobs at a time")
    pool: str = Field("default", description="the pool that the node serves")
    labels: Labels = Field(
        {}, description="what jobs may ask of a node, as NAME=VALUE,NAME=VALUE, such as arch=arm64,gpu=a100"
    )
    broker_url: SecretStr | None = Field(None, description="Redis URL; default: what the server said at joining")
    drain: timedelta = Field(timedelta(seconds=60), description="how long a node that goes down waits for its jobs")
    engine: str = Field("docker", pattern="^(docker|process)$", description="what runs the steps")
    default_image: str = Field("debian:12-slim", description="image of jobs that name none")
    default_memory_bytes: int = Field(2 * 2**30, description="memory limit of jobs that name none")
    default_cpus: float = Field(1.0, description="processor limit of jobs that name none")
    pids_limit: int = Field(2048, description="processes a job may have")
    network: str = Field("bridge", pattern="^(bridge|none)$", description="network of jobs: own bridge, or none")
    workspace_limit_bytes: int = Field(512 * 2**20, description="free disk below which no workspace is made")
    cache_bytes: int = Field(
        5 * 2**30, ge=0, description="bytes of caches that the node keeps beside it, so that they are not fetched again"
    )
    cache_files_bytes: int = Field(
        10 * 2**30, ge=0, description="bytes of the files of one cache, before they are packed and after"
    )
    embedded: bool = Field(False, description="set by `farmgate up`; allows the process engine")
    log_format: str = Field("text", pattern="^(text|json)$", description="how the processes log: text or json")


class WorkerSettings(NodeSettings):
    """A node's Celery worker: the agent hands these down."""

    node: int = Field(description="the node's id, from joining")
    credential: SecretStr = Field(description="the node's credential, from joining")
    broker_url: SecretStr = Field(description="Redis URL")


class ClientSettings(BaseSettings):
    """What the command line needs to reach a farm."""

    model_config = SettingsConfigDict(env_prefix="FARMGATE_", extra="ignore", frozen=True)

    server: str = Field("http://127.0.0.1:8470", description="the scheduler's address")
    token: SecretStr | None = Field(None, description="API token; default: the admin token in the data folder")
    data: Path = Field(Path("data"), description="the data folder of a farm on this machine")


T = TypeVar("T", bound=BaseSettings)


def read(kind: type[T], **given: Any) -> T:
    """Read the settings of one process kind; `given` wins over the environment. Raises BadSettings with each field."""
    folder = Path(os.environ.get("FARMGATE_SECRETS_DIR", "/run/secrets"))
    present: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        return kind(_secrets_dir=folder if folder.is_dir() else None, **present)
    except ValidationError as error:
        lines = (f"FARMGATE_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise BadSettings("; ".join(lines)) from None


def environment_for_child(settings: BaseSettings | None = None, **extra: str) -> dict[str, str]:
    """The environment of a process we start: this one's, with `settings` and `extra` written over it as FARMGATE_*."""
    child = dict(os.environ)
    if settings is not None:
        for name, value in settings.model_dump(mode="python", exclude_none=True).items():
            raw = value.get_secret_value() if isinstance(value, SecretStr) else value
            if isinstance(raw, timedelta):
                raw = f"PT{raw.total_seconds()}S"
            if isinstance(raw, dict):
                raw = ",".join(f"{label}={text}" for label, text in raw.items())
            child[f"FARMGATE_{name.upper()}"] = str(raw)
    child.update(extra)
    return child
