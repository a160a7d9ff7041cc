"""A folder of an S3 bucket, with the few calls that a target needs. Every trouble on the way is a TargetError.

Nothing relies on what S3 servers differ in: no conditional put, no batch delete, no lifecycle.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from farmgate.errors import TargetError

_RECORD_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Headers:
    """What an object is served with; `notes` are kept beside it as its metadata."""

    content_type: str
    cache_control: str
    notes: Mapping[str, str] = field(default_factory=dict)

    def given(self) -> dict[str, Any]:
        """As S3 calls them."""
        return {
            "ContentType": self.content_type,
            "CacheControl": self.cache_control,
            "Metadata": {f"farmgate-{name}": value for name, value in self.notes.items()},
        }


class Bucket:
    """The objects below `prefix`; keys are relative to it."""

    def __init__(self, client: Any, name: str, prefix: str) -> None:
        self._client = client
        self._name = name
        self._prefix = f"{prefix}/" if prefix else ""

    def put(self, key: str, content: BinaryIO, headers: Headers) -> None:
        """Seen whole or not at all."""
        with self._speaking():
            self._client.upload_fileobj(content, self._name, self._prefix + key, ExtraArgs=headers.given())

    def put_record(self, key: str, record: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> None:
        """A small JSON document that nobody caches."""
        headers = Headers("application/json", "no-cache", notes or {})
        body = json.dumps(record, sort_keys=True).encode()
        with self._speaking():
            self._client.put_object(Bucket=self._name, Key=self._prefix + key, Body=body, **headers.given())

    def copy(self, source: str, key: str, headers: Headers) -> None:
        """Within the server, with headers of its own."""
        where = {"Bucket": self._name, "Key": self._prefix + source}
        extra = {**headers.given(), "MetadataDirective": "REPLACE"}
        with self._speaking():
            self._client.copy(where, self._name, self._prefix + key, ExtraArgs=extra)

    def delete(self, key: str) -> None:
        """Harmless if it is not there."""
        with self._speaking():
            self._client.delete_object(Bucket=self._name, Key=self._prefix + key)

    def record(self, key: str) -> dict[str, Any] | None:
        """A JSON document; None if there is none, or nothing that could be one of ours."""
        with self._speaking():
            try:
                answer = self._client.get_object(Bucket=self._name, Key=self._prefix + key)
            except self._client.exceptions.ClientError as error:
                if _is_missing(error):
                    return None
                raise
            with answer["Body"] as body:
                text = body.read(_RECORD_BYTES)
        try:
            found = json.loads(text)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def notes(self, key: str) -> dict[str, str] | None:
        """What is kept beside an object; None if there is none."""
        with self._speaking():
            try:
                answer = self._client.head_object(Bucket=self._name, Key=self._prefix + key)
            except self._client.exceptions.ClientError as error:
                if _is_missing(error):
                    return None
                raise
        kept: dict[str, str] = answer.get("Metadata", {})
        return {name.removeprefix("farmgate-"): value for name, value in kept.items() if name.startswith("farmgate-")}

    def keys(self, below: str) -> dict[str, str]:
        """All objects whose key begins so, each with what the server calls its content (its ETag)."""
        found = {}
        with self._speaking():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._name, Prefix=self._prefix + below
            )
            for page in pages:
                for each in page.get("Contents", ()):
                    found[each["Key"].removeprefix(self._prefix)] = each.get("ETag", "")
        return found

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (ClientError, BotoCoreError, Boto3Error) as error:
            raise TargetError(f"s3://{self._name}/{self._prefix}: {error}") from error


def _is_missing(error: Any) -> bool:
    return error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey", "NotFound")


def connect(endpoint: str | None, region: str, keys: tuple[str, str] | None) -> Any:
    """A client. `keys`: access and secret key; None: what boto3 finds on this machine. Raises TargetError."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise TargetError("an s3 target needs boto3 where the deploy loop runs: install farmgate[s3]") from None
    config = Config(
        connect_timeout=5,
        read_timeout=60,
        retries={"max_attempts": 4, "mode": "standard"},
        s3={"addressing_style": "path" if endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    access, secret = keys or (None, None)
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=config,
    )
