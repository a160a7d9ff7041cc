"""One contract for every place where bytes live."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import IO, Any

import pytest
from pydantic import SecretStr

from farmgate import blobs
from farmgate.blobs import CHECKED_BYTES, Blobs, LocalBlobs, MemoryBlobs, S3Blobs
from farmgate.errors import BadSettings, BlobsUnreachable, DamagedBlob, NoSpace, NotFound, TooLarge
from farmgate.settings import CommonSettings

SECRET = SecretStr("none")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def noise(size_bytes: int) -> bytes:
    return hashlib.shake_128(b"noise").digest(size_bytes)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def s3_settings(endpoint: str, bucket: str) -> CommonSettings:
    url = f"s3://{bucket}/farm/blobs"
    return CommonSettings(blobs_url=url, s3_endpoint=endpoint, s3_access_key=SECRET, s3_secret_key=SECRET)


@pytest.fixture
def bucket(s3_endpoint: str) -> str:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    client.create_bucket(Bucket="farm")
    return "farm"


@pytest.fixture(params=["memory", "local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "memory":
        return MemoryBlobs()
    if request.param == "local":
        return blobs.at(CommonSettings(data=tmp_path))
    endpoint = request.getfixturevalue("s3_endpoint")
    return blobs.at(s3_settings(endpoint, request.getfixturevalue("bucket")))


def read(place: Blobs, name: str) -> bytes:
    with place.open(name) as stream:
        return stream.read()


# --- the contract ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"x", b"\x00\xff" * 1000, noise(CHECKED_BYTES + 1)], ids=len)
def test_what_is_put_is_found_under_its_sha256(place: Blobs, data: bytes) -> None:
    stored = place.put([data])
    assert (stored.sha256, stored.size_bytes) == (sha256(data), len(data))
    assert read(place, stored.sha256) == data
    assert place.exists(stored.sha256)
    assert place.size(stored.sha256) == len(data)


def test_chunks_are_one_blob(place: Blobs) -> None:
    assert place.put([b"ab", b"", b"c"]) == place.put([b"abc"])


def test_the_same_bytes_twice_are_one_blob(place: Blobs) -> None:
    first = place.put([b"same"])
    assert place.put(iter([b"same"])) == first
    place.delete(first.sha256)
    assert not place.exists(first.sha256)


def test_a_large_blob_comes_back_in_pieces(place: Blobs) -> None:
    data = noise(10 * 2**20)  # more than what is spooled in memory, and than a part of an upload
    stored = place.put(data[at : at + 2**18] for at in range(0, len(data), 2**18))
    digest = hashlib.sha256()
    with place.open(stored.sha256) as stream:
        while piece := stream.read(2**20):
            assert len(piece) <= 2**20
            digest.update(piece)
    assert digest.hexdigest() == stored.sha256


def test_exactly_the_limit_is_taken_and_one_byte_more_is_not(place: Blobs) -> None:
    assert place.put([b"12", b"345"], limit_bytes=5).size_bytes == 5
    with pytest.raises(TooLarge, match="5 bytes"):
        place.put([b"12", b"3456"], limit_bytes=5)
    assert not place.exists(sha256(b"123456"))


def test_beyond_the_limit_no_further_chunk_is_asked_for(place: Blobs) -> None:
    asked = []

    def endless() -> Iterator[bytes]:
        while True:
            asked.append(1)
            yield b"x" * 10

    with pytest.raises(TooLarge):
        place.put(endless(), limit_bytes=25)
    assert len(asked) == 3


def test_nothing_is_kept_when_the_source_breaks(place: Blobs) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        place.put(broken())
    assert not place.exists(sha256(b"half"))


def test_what_is_not_there_is_said_so(place: Blobs) -> None:
    absent = sha256(b"absent")
    assert not place.exists(absent)
    with pytest.raises(NotFound, match=absent):
        place.open(absent)
    with pytest.raises(NotFound, match=absent):
        place.size(absent)
    place.delete(absent)  # fine


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n"])
def test_a_name_that_is_no_sha256_leads_nowhere(place: Blobs, name: str) -> None:
    with pytest.raises(NotFound, match="blob"):
        place.open(name)
    with pytest.raises(NotFound, match="blob"):
        place.size(name)
    assert not place.exists(name)
    place.delete(name)  # fine


def test_many_put_at_once(place: Blobs) -> None:
    made: list[str] = []
    threads = [Thread(target=lambda n=n: made.append(place.put([b"%d" % (n % 3)]).sha256)) for n in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(made) == {sha256(b"0"), sha256(b"1"), sha256(b"2")}
    assert len(made) == 9
    assert all(read(place, name) in (b"0", b"1", b"2") for name in made)


# --- local files ---------------------------------------------------------------------------------------------------


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_full_disk_names_the_folder_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_a_full_disk(**where: Path) -> tuple[int, str]:
        name = where["dir"] / "aside"
        name.touch()
        return os.open("/dev/full", os.O_WRONLY), str(name)

    place = LocalBlobs(tmp_path / "blobs")
    monkeypatch.setattr(tempfile, "mkstemp", on_a_full_disk)
    with pytest.raises(NoSpace, match=str(tmp_path)):
        place.put([noise(2**17)])
    assert files(tmp_path) == []


def test_a_failed_put_leaves_nothing_aside(tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        LocalBlobs(tmp_path).put([b"12345"], limit_bytes=4)
    assert files(tmp_path) == []


def test_damage_is_noticed_on_opening(tmp_path: Path) -> None:
    place = LocalBlobs(tmp_path)
    stored = place.put([b"whole"])
    files(tmp_path)[0].write_bytes(b"other")
    with pytest.raises(DamagedBlob, match=stored.sha256):
        place.open(stored.sha256)


def test_putting_it_again_repairs_a_damaged_blob(tmp_path: Path) -> None:
    place = LocalBlobs(tmp_path)
    stored = place.put([b"whole"])
    files(tmp_path)[0].write_bytes(b"")
    place.put([b"whole"])
    assert read(place, stored.sha256) == b"whole"


# --- S3 --------------------------------------------------------------------------------------------------------------


def test_a_missing_bucket_is_made_where_that_is_wanted(s3_endpoint: str) -> None:
    settings = s3_settings(s3_endpoint, "made-by-the-first").model_copy(update={"s3_create_bucket": True})
    for _ in range(2):
        stored = blobs.at(settings).put([b"bytes"])
        with blobs.at(settings).open(stored.sha256) as body:
            assert body.read() == b"bytes"


def test_a_missing_bucket_is_said_with_its_name(s3_endpoint: str) -> None:
    place = blobs.at(s3_settings(s3_endpoint, "nobody-made-it"))
    with pytest.raises(BlobsUnreachable, match="nobody-made-it"):
        place.put([b"data"])


def test_a_server_that_does_not_answer_is_said_so(free_port: int) -> None:
    settings = s3_settings(f"http://127.0.0.1:{free_port}", "farm")
    place = blobs.at(settings)
    with pytest.raises(BlobsUnreachable, match=f":{free_port}"):
        place.exists(sha256(b"data"))


def test_objects_lie_below_the_prefix(s3_endpoint: str, bucket: str) -> None:
    place = blobs.at(s3_settings(s3_endpoint, bucket))
    assert isinstance(place, S3Blobs)
    name = place.put([b"where?"]).sha256
    listed = place._client.list_objects_v2(Bucket=bucket, Prefix="farm/blobs/")["Contents"]
    assert f"farm/blobs/{name[:2]}/{name[2:4]}/{name}" in [entry["Key"] for entry in listed]


def test_nothing_that_servers_differ_in_is_asked_of_them(
    s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = blobs.at(s3_settings(s3_endpoint, bucket))
    assert isinstance(place, S3Blobs)
    asked: list[tuple[str, set[str]]] = []

    def remember(model: Any, params: Any, **_rest: Any) -> None:
        asked.append((model.name, {name.lower() for name in params["headers"]}))

    place._client.meta.events.register("before-call.s3", remember)
    name = place.put([b"plain"]).sha256
    read(place, name)
    place.exists(name)
    place.delete(name)
    assert [operation for operation, _ in asked] == ["PutObject", "GetObject", "HeadObject", "DeleteObject"]
    assert not {header for _, headers in asked for header in headers if header.startswith(("if-", "x-amz-checksum"))}


# --- where -----------------------------------------------------------------------------------------------------------


def test_the_default_is_a_folder_of_the_data(tmp_path: Path) -> None:
    place = blobs.at(CommonSettings(data=tmp_path))
    assert isinstance(place, LocalBlobs)
    assert place.folder == tmp_path / "blobs"


@pytest.mark.parametrize("url", ["/srv/blobs", "file:///srv/blobs"])
def test_a_folder_can_be_named(url: str) -> None:
    place = blobs.at(CommonSettings(blobs_url=url))
    assert isinstance(place, LocalBlobs)
    assert place.folder == Path("/srv/blobs")


@pytest.mark.parametrize("url", ["s3://", "s3:///prefix", "gs://bucket", "http://127.0.0.1/blobs"])
def test_a_place_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(BadSettings, match="FARMGATE_BLOBS_URL"):
        blobs.at(CommonSettings(blobs_url=url))


def test_the_command_line_need_not_load_boto3() -> None:
    import subprocess
    import sys

    program = "import sys; import farmgate.blobs; sys.exit('boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=Path(__file__).parents[1]).returncode == 0


def test_a_stream_is_closed_by_its_reader(place: Blobs) -> None:
    name = place.put([b"x"]).sha256
    stream: IO[bytes] = place.open(name)
    with stream:
        stream.read()
    assert stream.closed


def test_every_name_is_told(place: Blobs) -> None:
    before = set(place.names())  # a bucket may be shared
    kept = {place.put([f"a name to be told {number}".encode()]).sha256 for number in range(3)}
    assert set(place.names()) == before | kept
    gone = kept.pop()
    place.delete(gone)
    assert set(place.names()) == before | kept
