"""JUnit XML, as pytest, Surefire, Gradle, jest-junit, go-junit-report, gotestsum and others write it.

Rules:
1. A test is a `testcase` anywhere below `testsuites` or `testsuite`; its suite is named by all suites around it.
2. `failure` is failed, `error` is error, `skipped` is skipped, nothing of these is passed; the worst of several counts.
3. Surefire's `flakyFailure`, `flakyError`, `rerunFailure`, `rerunError`, and `rerun` of others, are tries that failed.
4. `system-out` and `system-err` are passed over: the job's log has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from farmgate.reports.errors import BadReport
from farmgate.reports.results import LONGEST_MESSAGE, Case, Outcome, Text, name_of, seconds_of, text_of
from farmgate.reports.xml import Reader, decoded

_WORST = ("passed", "skipped", "failed", "error")
_OUTCOMES: dict[str, Outcome] = {"failure": "failed", "error": "error", "skipped": "skipped"}
_TRIES = frozenset({"flakyFailure", "flakyError", "rerunFailure", "rerunError", "rerun"})
_NOT_RUN = frozenset({"notrun", "disabled", "skipped", "ignored", "suppressed"})


def read(chunks: Iterable[bytes]) -> Iterator[Case]:
    """The tests of a file, in its order. Raises BadReport; what was given before that holds."""
    state = _State()
    for text in decoded(chunks):
        try:
            state.reader.feed(text)
        finally:
            yield from state.take()
    state.reader.close()
    yield from state.take()


class _State:
    """Where the parser is."""

    def __init__(self) -> None:
        self.reader = Reader(self._start, self._end)
        self._suites: list[str] = []
        self._suite = ""
        self._root = False
        self._case: dict[str, str] | None = None
        self._outcome: Outcome = "passed"
        self._message = ""
        self._tries = 0
        self._text: Text | None = None
        self._hears: str | None = None
        self._done: list[Case] = []

    def take(self) -> list[Case]:
        done, self._done = self._done, []
        return done

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._root:
            if name not in ("testsuites", "testsuite"):
                place = self.reader.place()
                raise BadReport(f"{place}: this is not JUnit XML: it begins with <{name[:60]}>, not <testsuites>")
            self._root = True
        if name in ("testsuite", "testsuites"):
            self._suites.append(name_of(attributes.get("name", "")) if name == "testsuite" else "")
            self._suite = name_of(" › ".join(suite for suite in self._suites if suite))
        elif name == "testcase" and self._case is None:
            self._case = attributes
            run = attributes.get("status", "").lower() not in _NOT_RUN
            run = run and attributes.get("result", "").lower() not in _NOT_RUN
            self._outcome, self._message, self._tries, self._text = ("passed" if run else "skipped"), "", 0, None
        elif self._case is None:
            return
        elif name in _OUTCOMES:
            outcome = _OUTCOMES[name]
            if _WORST.index(outcome) >= _WORST.index(self._outcome):
                self._outcome = outcome
                message = attributes.get("message") or attributes.get("type") or ""
                self._message = text_of(message, LONGEST_MESSAGE)
                self._text, self._hears = Text(), name
                self.reader.listen(self._text.add)
        elif name in _TRIES:
            self._tries += 1
            if not self._message:
                self._message = text_of(attributes.get("message") or attributes.get("type") or "", LONGEST_MESSAGE)
            if self._text is None:
                self._text, self._hears = Text(), name
                self.reader.listen(self._text.add)

    def _end(self, name: str) -> None:
        if name == self._hears:
            self._hears = None
            self.reader.listen(None)
        if name in ("testsuite", "testsuites"):
            self._suites.pop()
            self._suite = name_of(" › ".join(suite for suite in self._suites if suite))
        elif name == "testcase" and self._case is not None:
            case, self._case = self._case, None
            self._done.append(
                Case(
                    suite=self._suite,
                    class_name=name_of(case.get("classname") or case.get("class") or ""),
                    name=name_of(case.get("name", "")) or "(no name)",
                    file=name_of(case.get("file") or case.get("filepath") or ""),
                    outcome=self._outcome,
                    seconds=seconds_of(case.get("time") or case.get("duration")),
                    message=self._message,
                    text=self._text.value() if self._text is not None else "",
                    failed_tries=self._tries,
                )
            )
