"""What OSV documents say: read, matched, rated, grouped; and what is no OSV document."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from farmgate.reports import BadReport, cyclonedx
from farmgate.vulnerabilities.ecosystems import CRATES, BadPurl, Package, Uncomparable, compare, package_of
from farmgate.vulnerabilities.grouping import Decision, Told, decided, grouped
from farmgate.vulnerabilities.matching import Judged, judge, packed, unpacked
from farmgate.vulnerabilities.osv import Affected, BadDocument, parse
from farmgate.vulnerabilities.ratings import Severity, rated

NOW = datetime(2026, 1, 1, tzinfo=UTC)
V3 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"


def document(**more: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.4"}]}]
    affected = [{"package": {"ecosystem": "PyPI", "name": "Jinja2"}, "ranges": ranges}]
    return {"id": "GHSA-h75v-3vvj-5mfj", "modified": "2024-05-06T14:21:27Z", "affected": affected, **more}


def affected(
    ecosystem: str, *events: tuple[str, str], versions: tuple[str, ...] = (), kind: str = "ECOSYSTEM"
) -> Affected:
    ranges = [{"type": kind, "events": [dict([event]) for event in events]}] if events else []
    row = {"package": {"ecosystem": ecosystem, "name": "x"}, "ranges": ranges, "versions": list(versions)}
    (found,) = parse(json.dumps(document(affected=[row]))).affected
    assert unpacked(found.ecosystem, found.name, packed(found)) == found
    return found


def test_a_document_is_read() -> None:
    said = document(
        aliases=["CVE-2024-34064", 7],
        summary="a\n <b>",
        published="2024-05-06T14:20:59Z",
        severity=[{"type": "CVSS_V3", "score": V3}],
    )
    found = parse(json.dumps(said))
    assert (found.id, found.aliases, found.summary) == ("GHSA-h75v-3vvj-5mfj", ("CVE-2024-34064",), "a <b>")
    assert (found.rated.severity, found.rated.score) == (Severity.CRITICAL, 9.8)
    assert found.published == datetime(2024, 5, 6, 14, 20, 59, tzinfo=UTC)
    assert [(each.ecosystem, each.name) for each in found.affected] == [("PyPI", "jinja2")]
    assert not found.withdrawn
    assert parse(json.dumps(document(withdrawn="2024-06-01T00:00:00Z"))).withdrawn


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("", "this is not JSON"),
        ('{"id": "A-1", "x": NaN}', "NaN is no number"),
        ("[" * 100_000, "nested too deep"),
        ("[]", "a document is an object"),
        ("{}", "id: 'None' is no id"),
        ({"id": "a b"}, "is no id"),
        ({"id": "x" * 200}, "is no id"),
        ({"schema_version": "2.0.0"}, "schema_version: '2.0.0' is not 1.x"),
        ({"schema_version": 1}, "is not 1.x"),
        ({"affected": {}}, "affected: not a list"),
        ({"affected": ["x"]}, r"affected\[0\]: not an object"),
        ({"affected": [{"package": {"name": "x"}, "versions": ["1"]}]}, "has no ecosystem"),
        ({"affected": [{"package": {"ecosystem": "npm", "name": "a\0"}, "versions": ["1"]}]}, "no plain text"),
        ({"affected": [{"package": {"ecosystem": "npm", "name": "x" * 999}}]}, "too long"),
        ({"affected": [{"package": {"ecosystem": "npm", "name": "x"}, "versions": [1]}]}, "not all are texts"),
        ({"affected": [{"package": {"ecosystem": "npm", "name": "x"}, "ranges": [{"type": "X"}]}]}, "its type is none"),
        (
            {
                "affected": [
                    {
                        "package": {"ecosystem": "npm", "name": "x"},
                        "ranges": [{"type": "SEMVER", "events": [{"fixed": "1"}]}],
                    }
                ]
            },
            "nothing is introduced",
        ),
        (
            {
                "affected": [
                    {
                        "package": {"ecosystem": "npm", "name": "x"},
                        "ranges": [{"type": "SEMVER", "events": [{"introduced": 0}]}],
                    }
                ]
            },
            "no event with a version",
        ),
        ({"published": "yesterday"}, "published: 'yesterday' is no time"),
        ({"aliases": ["CVE-1"] * 501}, "more than 500"),
    ],
)
def test_what_is_no_document_is_named_with_its_place(bad: Any, said: str) -> None:
    with pytest.raises(BadDocument, match=said):
        parse(bad if isinstance(bad, str) else json.dumps(document(**bad)))


def test_a_document_of_commits_alone_names_no_package() -> None:
    ranges = [{"type": "GIT", "repo": "https://example.org/x", "events": [{"introduced": "0"}, {"fixed": "c0ffee"}]}]
    assert parse(json.dumps(document(affected=[{"ranges": ranges}]))).affected == ()
    with_versions = [{"package": {"ecosystem": "npm", "name": "x"}, "ranges": ranges, "versions": ["1.0.0"]}]
    (found,) = parse(json.dumps(document(affected=with_versions))).affected
    assert (found.ranges, found.versions) == ((), ("1.0.0",))


# --- versions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ecosystem", "older", "newer"),
    [
        ("PyPI", "1.0rc1", "1.0"),
        ("PyPI", "1.9", "1.10"),
        ("npm", "1.0.0-alpha.9", "1.0.0-alpha.10"),
        ("npm", "1.0.0-rc.1", "1.0.0"),
        ("Go", "0.0.0-20200101000000-abcdef123456", "0.0.0-20210101000000-abcdef123456"),
        (CRATES, "0.9.9", "0.10.0"),
        ("Maven", "1.0-alpha-1", "1.0-beta"),
        ("Maven", "31.1-android", "31.1-jre"),
        ("RubyGems", "1.0.0.beta.9", "1.0.0.beta.10"),
        ("NuGet", "1.0.0", "1.0.0.1"),
        ("Packagist", "1.0.0-beta2", "1.0.0-RC1"),
        ("Debian", "1.0~rc1-1", "1.0-1"),
        ("Debian", "2.31-13+deb11u5", "2.31-13+deb11u11"),
        ("Ubuntu", "2.0", "1:1.0"),
        ("Alpine", "1.2.3-r9", "1.2.3-r10"),
        ("Alpine", "1.2.3_rc1-r0", "1.2.3-r0"),
        ("Rocky Linux", "1.0-1.el8", "1.0-2.el8"),
    ],
)
def test_versions_compare_as_their_ecosystem_says(ecosystem: str, older: str, newer: str) -> None:
    assert (compare(ecosystem, older, newer), compare(ecosystem, newer, older)) == (-1, 1)
    assert compare(ecosystem, newer, newer) == 0


def test_the_same_version_may_be_written_otherwise() -> None:
    assert compare("Maven", "2.0.0.RELEASE", "2.0.0") == 0
    assert compare("NuGet", "1.0.0-Beta", "1.0.0-beta") == 0
    assert compare("Go", "v1.2.3", "1.2.3") == 0


@pytest.mark.parametrize(
    ("ecosystem", "version"),
    [("PyPI", "2004d"), ("npm", "garbage"), ("npm", "1.2.3.4"), ("Debian", ""), ("npm", "1" * 9000), ("CRAN", "1.0")],
)
def test_what_is_no_version_does_not_compare(ecosystem: str, version: str) -> None:
    with pytest.raises(Uncomparable):
        compare(ecosystem, version, "1.0.0")


# --- matching --------------------------------------------------------------------------------------------------------


def test_ranges_begin_and_end_as_they_say() -> None:
    fixed = affected("npm", ("introduced", "1.0.0"), ("fixed", "1.2.0"), kind="SEMVER")
    assert [judge(fixed, each).affected for each in ("0.9.9", "1.0.0", "1.1.9", "1.2.0-rc.1", "1.2.0")] == [
        False, True, True, True, False,
    ]  # fmt: skip
    last = affected("PyPI", ("introduced", "0"), ("last_affected", "2.0"))
    assert [judge(last, each).affected for each in ("0.1.dev0", "2.0", "2.0.post1")] == [True, True, False]
    limit = affected("PyPI", ("introduced", "0"), ("limit", "3"))
    assert [judge(limit, each).affected for each in ("2.9", "3")] == [True, False]


def test_events_may_stand_in_any_order_and_several_times() -> None:
    twice = affected("PyPI", ("fixed", "2.5"), ("introduced", "2.0"), ("fixed", "1.5"), ("introduced", "1.0"))
    assert judge(twice, "1.4") == Judged(True, "1.5")
    assert judge(twice, "1.7") == Judged(False)
    assert judge(twice, "2.1") == Judged(True, "2.5")
    again = affected("PyPI", ("introduced", "1"), ("last_affected", "1"), ("introduced", "3"))
    assert [judge(again, each).affected for each in ("1", "2", "3")] == [True, False, True]


def test_what_cannot_be_compared_cannot_be_told_unless_it_is_listed() -> None:
    unknown = affected("CRAN", ("introduced", "0"), ("fixed", "2"), versions=("1.0",))
    assert judge(unknown, "1.0").affected is True
    told = judge(unknown, "0.9")
    assert (told.affected, told.why) == (None, "nobody here knows how versions of CRAN compare")
    broken = affected("PyPI", ("introduced", "0"), ("fixed", "the next one"))
    assert judge(broken, "1.0").affected is None
    assert judge(affected("PyPI", ("introduced", "0")), "1.0") == Judged(True)
    assert judge(affected("PyPI", versions=("1.0", "junk")), "1.1") == Judged(False)


# --- package URLs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("purl", "ecosystem", "name", "version"),
    [
        ("pkg:pypi/Foo_Bar@1.0", "PyPI", "foo-bar", "1.0"),
        ("pkg:npm/%40scope/name@1.2.3", "npm", "@scope/name", "1.2.3"),
        ("pkg:golang/github.com/gorilla/mux@v1.8.0", "Go", "github.com/gorilla/mux", "1.8.0"),
        (
            "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1",
            "Maven",
            "org.apache.logging.log4j:log4j-core",
            "2.14.1",
        ),
        ("pkg:nuget/Newtonsoft.Json@12.0.1", "NuGet", "newtonsoft.json", "12.0.1"),
        ("pkg:composer/symfony/http-kernel@5.0.0", "Packagist", "symfony/http-kernel", "5.0.0"),
        (
            "pkg:deb/debian/libssl3@3.0.9-1?arch=amd64&upstream=openssl&distro=debian-12",
            "Debian:12",
            "openssl",
            "3.0.9-1",
        ),
        (
            "pkg:deb/ubuntu/libc6@2.35?upstream=glibc%402.35-0ubuntu3&distro=ubuntu-22.04",
            "Ubuntu:22.04",
            "glibc",
            "2.35-0ubuntu3",
        ),
        (
            "pkg:apk/alpine/libcrypto3@3.1.4-r1?upstream=openssl&distro=alpine-3.18.4",
            "Alpine:v3.18",
            "openssl",
            "3.1.4-r1",
        ),
        (
            "pkg:rpm/rocky/openssl@1.1.1k-9.el8_7?epoch=1&distro=rocky-8.9",
            "Rocky Linux:8",
            "openssl",
            "1:1.1.1k-9.el8_7",
        ),
        ("pkg:deb/debian/openssl@3.0.9-1", "", "openssl", "3.0.9-1"),
        ("pkg:generic/thing@1", "", "thing", "1"),
    ],
)
def test_a_package_url_names_a_package_as_osv_does(purl: str, ecosystem: str, name: str, version: str) -> None:
    assert package_of(purl) == Package(ecosystem, name, version, purl)


@pytest.mark.parametrize("purl", ["", "pkg:pypi/x", "x", "pkg:npm/x@" + "1" * 500, "pkg:npm/" + "x" * 9000 + "@1"])
def test_what_names_no_version_of_a_package_is_refused(purl: str) -> None:
    with pytest.raises(BadPurl):
        package_of(purl)


def test_the_release_of_a_distribution_belongs_to_its_ecosystem() -> None:
    row = {"package": {"ecosystem": "Ubuntu:22.04:LTS", "name": "glibc"}, "versions": ["1"]}
    (found,) = parse(json.dumps(document(affected=[row]))).affected
    assert found.ecosystem == "Ubuntu:22.04"


# --- how bad, and one under all its names ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("osv_id", "vectors", "words", "severity"),
    [
        ("X-1", [V3], [], Severity.CRITICAL),
        ("X-1", ["CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"], [], Severity.LOW),
        ("X-1", ["CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"], [], Severity.CRITICAL),
        ("X-1", ["AV:N/AC:L/Au:N/C:P/I:P/A:P"], [], Severity.HIGH),
        ("X-1", [], ["MODERATE"], Severity.MEDIUM),
        ("X-1", ["CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"], ["HIGH"], Severity.HIGH),
        ("X-1", ["CVSS:3.1/NaN", "x" * 9999, "9.8"], [None, 3, "awful"], Severity.UNKNOWN),
        ("MAL-2024-1", [], [], Severity.CRITICAL),
    ],
)
def test_the_worst_that_is_told_counts(
    osv_id: str, vectors: list[str], words: list[object], severity: Severity
) -> None:
    assert rated(osv_id, vectors, words).severity is severity


def told(number: str, *aliases: str, severity: Severity = Severity.LOW) -> Told:
    return Told(number, aliases, f"about {number}", severity, None, NOW)


def test_documents_that_share_a_name_are_one_vulnerability() -> None:
    found = grouped(
        [
            told("GHSA-1", "CVE-2024-1"),
            told("PYSEC-1", "CVE-2024-1", severity=Severity.HIGH),
            told("GHSA-2"),
            told("ALPINE-CVE-2024-1", "CVE-2024-1"),
        ]
    )
    assert {found[each].id for each in ("GHSA-1", "PYSEC-1", "ALPINE-CVE-2024-1")} == {"CVE-2024-1"}
    assert found["GHSA-1"].severity is Severity.HIGH
    assert (found["GHSA-2"].id, found["GHSA-2"].ids) == ("GHSA-2", ("GHSA-2",))
    assert parse(json.dumps(document(id="DEBIAN-CVE-2024-1"))).aliases == ("CVE-2024-1",)


def test_a_decision_holds_in_its_scope_and_until_its_end() -> None:
    one = grouped([told("GHSA-1", "CVE-2024-1")])["GHSA-1"]

    def said(number: int, name: str, scope: str, days: int) -> Decision:
        return Decision(number, name, scope, "accepted", "x", NOW + timedelta(days=days), "ada", NOW)

    here = said(1, "GHSA-1", "shop/production", 7)
    assert decided(one, "shop/production", [here], NOW) == here
    assert decided(one, "shop/staging", [here], NOW) is None
    assert decided(one, "shop/production", [here], NOW + timedelta(days=8)) is None
    assert decided(one, "shop/staging", [said(2, "CVE-2024-1", "shop", 7)], NOW) is not None
    assert decided(one, "shop/staging", [said(2, "CVE-2024-2", "", 7)], NOW) is None


# --- component lists -------------------------------------------------------------------------------------------------


def test_a_component_list_names_packages_at_every_depth() -> None:
    bom = {
        "bomFormat": "CycloneDX",
        "metadata": {"component": {"type": "application", "purl": "pkg:pypi/shop@1"}},
        "components": [
            {"type": "library", "purl": "pkg:pypi/a@1", "components": [{"purl": "pkg:pypi/b@2", "type": "library"}]},
            {"type": "library", "name": "no purl"},
            {"type": "file", "name": "x"},
        ],
    }
    assert list(cyclonedx.purls([json.dumps(bom).encode()])) == ["pkg:pypi/b@2", "pkg:pypi/a@1", None]
    with pytest.raises(BadReport, match="this is not CycloneDX"):
        list(cyclonedx.purls([b'{"components": []}']))
    with pytest.raises(BadReport, match="this is not JSON"):
        list(cyclonedx.purls([b'{"bomFormat": "CycloneDX", "components": [{"purl": NaN']))
