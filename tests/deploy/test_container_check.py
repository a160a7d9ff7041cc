"""A check in a container: its status, its network, its end; and the logs of containers that it looks at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from deploy.checks import Answer, Question, RealProber, Subject, Verdict
from deploy.checks.programs import LABEL
from deploy.targets.docker import DockerRunner
from deploy.targets.protocol import Package
from farmgate.blobs import MemoryBlobs
from farmgate.clock import SystemClock, random_token
from farmgate.policy import ContainerCheck, DockerTarget, LogCheck

pytestmark = pytest.mark.needs("docker")
SERVE = (
    "echo started; echo ERROR in vain; mkdir /tmp/www; echo hello > /tmp/www/index.html; httpd -f -p 8080 -h /tmp/www"
)
ASK = 'wget -q -O - "http://$FARMGATE_INSTANCES/" && echo "$FARMGATE_SHA $FARMGATE_ROLLOUT"'


@pytest.fixture
def runner() -> Iterator[DockerRunner]:
    farm = "".join(letter for letter in random_token().lower() if letter.isalnum())[:8]
    made = DockerRunner(farm, "1", MemoryBlobs())
    yield made
    made.remove(7)


def program(image: str, script: str, **more: timedelta) -> ContainerCheck:
    return ContainerCheck(image=image, command=("sh", "-c", script), timeout=more.get("timeout", timedelta(seconds=60)))


def ask(check: ContainerCheck, about: Subject | None = None, now: datetime | None = None) -> Answer:
    now = now or SystemClock().now()
    return RealProber().ask(check, Question(about or Subject(7, "c0ffee"), now, now))


def test_it_reaches_the_instances_where_they_are_and_their_logs_are_read(
    runner: DockerRunner, busybox_image: str
) -> None:
    target = DockerTarget(image=busybox_image, command=("sh", "-c", SERVE), port=8080)
    package = Package(7, "c0ffee", {}, target)
    instances = runner.ensure(package)
    subject = Subject(7, "c0ffee", instances, partial(runner.log, package, 0))
    retry = f"for try in 1 2 3 4 5 6 7 8 9; do ({ASK}) && exit 0; sleep 1; done; exit 1"
    answer = ask(program(busybox_image, retry), subject)
    assert (answer.verdict, answer.words) == (Verdict.HEALTHY, "hello\nc0ffee 7")
    now = SystemClock().now()
    read = RealProber().ask(LogCheck(pattern="^ERROR", failures=1), Question(subject, now, now))
    assert (read.verdict, read.figures["matched"]) == (Verdict.SICK, 1)
    later = Question(subject, now, now, log_since=now + timedelta(seconds=5))
    assert RealProber().ask(LogCheck(pattern="^ERROR"), later).verdict is Verdict.HEALTHY


def test_it_says_it_by_its_status_and_leaves_nothing_behind(busybox_image: str) -> None:
    import docker

    client = docker.from_env()
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    left = client.containers.create(busybox_image, ["true"], labels={LABEL: long_ago.isoformat()})
    try:
        verdicts = [ask(program(busybox_image, f"echo said {code}; exit {code}")) for code in (0, 1, 3)]
        hangs = ask(program(busybox_image, "sleep 60", timeout=timedelta(seconds=1)))
        missing = ask(program("farmgate-test/nowhere:1", "true"))
        there = client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
    finally:
        client.close()
    assert [each.verdict for each in verdicts] == [Verdict.HEALTHY, Verdict.SICK, Verdict.UNTOLD]
    assert verdicts[1].words == "said 1"
    assert (hangs.verdict, "did not end in time" in hangs.words) == (Verdict.UNTOLD, True)
    assert (missing.verdict, "is not on this host" in missing.words) == (Verdict.UNTOLD, True)
    assert left.id not in {each.id for each in there}
