"""Where bytes live: artifacts and compressed logs, each under the sha256 of its content.

Rules:
1. `put` streams, and nothing is seen under a name before all of its bytes are there.
2. The same bytes twice are one blob; deleting what is not there is fine.
3. A small blob is checked against its name when it is opened from its beginning. A reader is promised a stream, no
   seeking; it may begin anywhere.
4. Nothing relies on what S3 servers differ in: no conditional put, no batch delete, no lifecycle.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from farmgate.errors import BadSettings, BlobsUnreachable, DamagedBlob, NoSpace, NotFound, TooLarge
from farmgate.settings import CommonSettings

CHECKED_BYTES = 1 << 20
SPOOLED_BYTES = 8 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Stored:
    """What `put` kept."""

    sha256: str
    size_bytes: int


class Blobs(Protocol):
    """A store of bytes. Safe to share between threads."""

    def put(self, chunks: Iterable[bytes], limit_bytes: int | None = None) -> Stored:
        """Keep the bytes. Raises TooLarge, NoSpace, BlobsUnreachable or what `chunks` raises; then nothing is kept."""
        ...

    def open(self, sha256: str, offset: int = 0) -> BinaryIO:
        """A stream of the bytes from `offset` on, which is less than the size, or 0; the caller closes it.

        Raises NotFound, DamagedBlob, BlobsUnreachable.
        """
        ...

    def exists(self, sha256: str) -> bool: ...

    def size(self, sha256: str) -> int:
        """In bytes. Raises NotFound."""
        ...

    def delete(self, sha256: str) -> None: ...

    def names(self) -> Iterator[str]:
        """Every blob that is there, in any order; what comes or goes meanwhile may be among them. Raises
        BlobsUnreachable."""
        ...


class MemoryBlobs:
    """For tests and the simulation."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, chunks: Iterable[bytes], limit_bytes: int | None = None) -> Stored:
        buffer = io.BytesIO()
        stored = _copy(chunks, buffer, limit_bytes)
        with self._lock:
            self._held[stored.sha256] = buffer.getvalue()
        return stored

    def open(self, sha256: str, offset: int = 0) -> BinaryIO:
        return io.BytesIO(self._bytes(sha256)[offset:])

    def exists(self, sha256: str) -> bool:
        return sha256 in self._held

    def size(self, sha256: str) -> int:
        return len(self._bytes(sha256))

    def delete(self, sha256: str) -> None:
        with self._lock:
            self._held.pop(sha256, None)

    def names(self) -> Iterator[str]:
        with self._lock:
            held = list(self._held)
        yield from held

    def _bytes(self, sha256: str) -> bytes:
        try:
            return self._held[sha256]
        except KeyError:
            raise NotFound(f"no blob {sha256}") from None


class LocalBlobs:
    """Files below a folder: `ab/cd/<sha256>`, written aside, flushed to the disk, then renamed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, chunks: Iterable[bytes], limit_bytes: int | None = None) -> Stored:
        with _naming_a_full_disk(self.folder):
            aside = self.folder / "aside"
            aside.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=aside)
            try:
                with os.fdopen(handle, "wb") as file:
                    stored = _copy(chunks, file, limit_bytes)
                    file.flush()
                    os.fsync(file.fileno())
                target = self._path(stored.sha256)
                target.parent.mkdir(parents=True, exist_ok=True)
                Path(name).replace(target)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            _flush_folder(target.parent)
        return stored

    def open(self, sha256: str, offset: int = 0) -> BinaryIO:
        try:
            file = self._path(sha256).open("rb")
        except FileNotFoundError:
            raise NotFound(f"no blob {sha256} in {self.folder}") from None
        if offset:
            file.seek(offset)
            return file
        if os.fstat(file.fileno()).st_size > CHECKED_BYTES:
            return file
        with file:
            return _verified(sha256, file.read(), str(self.folder))

    def exists(self, sha256: str) -> bool:
        return _is_name(sha256) and self._path(sha256).is_file()

    def size(self, sha256: str) -> int:
        try:
            return self._path(sha256).stat().st_size
        except FileNotFoundError:
            raise NotFound(f"no blob {sha256} in {self.folder}") from None

    def delete(self, sha256: str) -> None:
        if _is_name(sha256):
            self._path(sha256).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        for path in self.folder.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*"):
            if _is_name(path.name):
                yield path.name

    def _path(self, sha256: str) -> Path:
        name = _checked(sha256)
        return self.folder / name[:2] / name[2:4] / name


class S3Blobs:
    """Objects of a bucket: `<prefix>/ab/cd/<sha256>`. What is put is spooled first, since its name is its hash."""

    def __init__(self, client: Any, bucket: str, prefix: str = "", *, create: bool = False) -> None:
        self._client = client
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self._create = create  # the bucket, before the first put

    def put(self, chunks: Iterable[bytes], limit_bytes: int | None = None) -> Stored:
        with tempfile.SpooledTemporaryFile(max_size=SPOOLED_BYTES) as spool:
            with _naming_a_full_disk(Path(tempfile.gettempdir())):
                stored = _copy(chunks, cast(BinaryIO, spool), limit_bytes)
            spool.seek(0)
            with self._speaking(stored.sha256):
                self._make_bucket()
                self._client.upload_fileobj(spool, self.bucket, self._key(stored.sha256))
        return stored

    def open(self, sha256: str, offset: int = 0) -> BinaryIO:
        part = {"Range": f"bytes={offset}-"} if offset else {}
        with self._speaking(sha256):
            answer = self._client.get_object(Bucket=self.bucket, Key=self._key(sha256), **part)
            body = answer["Body"]
            if offset or answer["ContentLength"] > CHECKED_BYTES:
                return cast(BinaryIO, body)
            with body:
                return _verified(sha256, body.read(), f"s3://{self.bucket}")

    def exists(self, sha256: str) -> bool:
        try:
            self.size(sha256)
        except NotFound:
            return False
        return True

    def size(self, sha256: str) -> int:
        with self._speaking(sha256):
            return int(self._client.head_object(Bucket=self.bucket, Key=self._key(sha256))["ContentLength"])

    def delete(self, sha256: str) -> None:
        if _is_name(sha256):
            with self._speaking(sha256):
                self._client.delete_object(Bucket=self.bucket, Key=self._key(sha256))

    def names(self) -> Iterator[str]:
        from botocore.exceptions import ClientError

        try:
            with self._speaking("at all"):
                prefix = f"{self.prefix}/" if self.prefix else ""
                for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                    for found in page.get("Contents", ()):
                        name = found["Key"].rpartition("/")[2]
                        if _is_name(name) and found["Key"] == self._key(name):
                            yield name
        except BlobsUnreachable as error:
            cause = error.__cause__
            code = cause.response.get("Error", {}).get("Code") if isinstance(cause, ClientError) else None
            if code != "NoSuchBucket":  # no bucket yet, since nothing was put
                raise

    def _make_bucket(self) -> None:
        from botocore.exceptions import ClientError

        if not self._create:
            return
        try:
            self._client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in ("404", "NoSuchBucket"):
                raise
            try:
                self._client.create_bucket(Bucket=self.bucket)
            except ClientError as made:  # by another process meanwhile
                if not str(made.response.get("Error", {}).get("Code")).startswith("BucketAlready"):
                    raise
        self._create = False

    def _key(self, sha256: str) -> str:
        name = _checked(sha256)
        return "/".join(part for part in (self.prefix, name[:2], name[2:4], name) if part)

    @contextmanager
    def _speaking(self, sha256: str) -> Iterator[None]:
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey", "NotFound"):
                raise NotFound(f"no blob {sha256} in s3://{self.bucket}/{self.prefix}") from None
            if _is_full(error.response):
                raise NoSpace(f"no space left in s3://{self.bucket}: {error}") from error
            raise BlobsUnreachable(f"s3://{self.bucket}: {error}") from error
        except S3UploadFailedError as error:
            cause = error.__cause__ or error.__context__
            if isinstance(cause, ClientError) and _is_full(cause.response):
                raise NoSpace(f"no space left in s3://{self.bucket}: {cause}") from error
            raise BlobsUnreachable(f"s3://{self.bucket}: {error}") from error
        except BotoCoreError as error:
            raise BlobsUnreachable(f"s3://{self.bucket}: {error}") from error


def at(settings: CommonSettings) -> Blobs:
    """The blob store that the settings name: s3://bucket/prefix, or a folder. Raises BadSettings."""
    place = settings.blobs_url
    if place is None:
        return LocalBlobs(settings.data / "blobs")
    if not place.startswith("s3://"):
        if "://" in place and not place.startswith("file://"):
            raise BadSettings(f"FARMGATE_BLOBS_URL: {place!r} is neither a folder nor s3://bucket/prefix")
        return LocalBlobs(Path(place.removeprefix("file://")))
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    if not bucket:
        raise BadSettings("FARMGATE_BLOBS_URL: s3:// names no bucket; write s3://bucket/prefix")
    return S3Blobs(_s3_client(settings), bucket, prefix, create=settings.s3_create_bucket)


def _s3_client(settings: CommonSettings) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise BadSettings("FARMGATE_BLOBS_URL: s3:// needs boto3; install farmgate[s3]") from None
    config = Config(
        connect_timeout=5,
        read_timeout=60,
        retries={"max_attempts": 4, "mode": "standard"},
        # Many S3-compatible servers know neither virtual hosts nor the newer checksums.
        s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    access, secret = settings.s3_access_key, settings.s3_secret_key
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=access.get_secret_value() if access else None,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=config,
    )


def _is_name(sha256: str) -> bool:
    return _SHA256.fullmatch(sha256) is not None


def _is_full(answer: Mapping[str, Any]) -> bool:
    """How servers say that there is no room: by 507, or in words of their own."""
    code = str(answer.get("Error", {}).get("Code"))
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status == 507 or code in (
        "XMinioStorageFull",
        "QuotaExceeded",
        "InsufficientStorage",
        "XMinioAdminBucketQuotaExceeded",
    )


def _checked(sha256: str) -> str:
    """The name, if it is one: it becomes part of a path."""
    if not _is_name(sha256):
        raise NotFound(f"{sha256[:80]!r} is not the sha256 of a blob")
    return sha256


def _copy(chunks: Iterable[bytes], into: BinaryIO, limit_bytes: int | None) -> Stored:
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        size += len(chunk)
        if limit_bytes is not None and size > limit_bytes:
            raise TooLarge(f"more than the {limit_bytes} bytes that are allowed")
        digest.update(chunk)
        into.write(chunk)
    return Stored(digest.hexdigest(), size)


def _verified(sha256: str, data: bytes, place: str) -> BinaryIO:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedBlob(f"blob {sha256} in {place} is damaged: its bytes hash to something else")
    return io.BytesIO(data)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _naming_a_full_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"no space left in {folder}; free some, or point the setting elsewhere") from error
        raise
