"""The hosts of a docker target in the policy file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from farmgate.errors import BadDocument
from farmgate.policy import DockerTarget, LanePolicy, parse

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
QUOTED = json.dumps(PEM)
GUARDED = f"{{engine: 'tcp://10.0.0.12:2376', address: 10.0.0.12, key: KEY, ca: {QUOTED}, certificate: {QUOTED}}}"


def policy(*hosts: str, more: str = "") -> str:
    written = "".join(f"    {host}\n" for host in hosts)
    return f"""\
application: shop
target:
  type: docker
  image: busybox
  command: [run]
  port: 8080
  instances: 2
{more}  hosts:
{written}lanes:
  production: {{listen: 127.0.0.1:8101}}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(BadDocument) as refused:
        parse(text)
    return [str(problem) for problem in refused.value.problems]


LOCAL = "web1: {engine: unix:///run/docker.sock, address: 10.0.0.11}"
FAR = f"web2: {GUARDED}"


def test_a_target_on_two_hosts_is_kept_as_it_was_written() -> None:
    (lane,) = parse(policy(LOCAL, FAR))
    target = lane.target
    assert isinstance(target, DockerTarget)
    assert target.hosts["web1"].engine == "unix:///run/docker.sock"
    assert (target.hosts["web2"].key, target.hosts["web2"].ca) == ("KEY", PEM)
    assert target.ports == "20000-29999"
    assert target.words == "docker, 2 instances on 2 hosts"
    assert LanePolicy.model_validate(lane.model_dump(mode="json")) == lane


def test_the_example_in_the_documentation_is_a_policy_file() -> None:
    page = (Path(__file__).parent.parent / "docs" / "policy.md").read_text()
    example = page.partition("## Several hosts")[2].partition("```yaml")[2].partition("```")[0]
    (lane,) = parse(example.replace("f0...", "f0="))
    assert isinstance(lane.target, DockerTarget)
    assert sorted(lane.target.hosts) == ["web1", "web2"]


@pytest.mark.parametrize(
    ("hosts", "place", "words"),
    [
        (["web1: {engine: tcp://10.0.0.11:2376, address: 10.0.0.11}"], ":9:", "'key' must be there: an engine that is"),
        ([LOCAL, FAR.replace("10.0.0.12, key", "10.0.0.11, key")], ":10:", "web1 has the same address"),
        ([LOCAL, LOCAL.replace("web1", "web2").replace("0.11", "0.12")], ":10:", "web1 has the same engine"),
        ([LOCAL, FAR, FAR.replace("2", "3")], ":7:", "3 hosts and 2 instances: nothing would run on web3"),
        ([LOCAL.replace("unix:///run/docker.sock", "ftp://x")], ":9:", "'ftp://x' is no engine that can be reached"),
        ([LOCAL.replace("10.0.0.11", "0.0.0.0")], ":9:", "'0.0.0.0' is no address of one host"),
        ([LOCAL.replace("address", "adress")], ":9:", "did you mean 'address'"),
        ([LOCAL.replace("}", ", key: KEY}")], ":9:", "is for engines at tcp://"),
        ([FAR.replace("MIIB", "PRIVATE KEY")], ":9:", "holds a private key, which is a secret"),
        ([FAR.replace("BEGIN", "BEGINS")], ":9:", "is no certificate"),
    ],
)
def test_what_hosts_cannot_be_is_told_at_its_place(hosts: list[str], place: str, words: str) -> None:
    found = problems(policy(*hosts))
    assert any(re.search(place, one) and words in one for one in found), found


@pytest.mark.parametrize("ports", ["20000", "1-200", "20000-20010", "9000-8000", "60000-70000"])
def test_ports_are_a_span_that_is_wide_enough(ports: str) -> None:
    (found,) = problems(policy(LOCAL, more=f"  ports: {ports!r}\n"))
    assert "ports are" in found or "are no ports" in found
