"""Every error Farmgate raises, one family.

An error names a fact: what is wrong, where, and what to do. What is expected to happen (a failing test, a lost claim)
is a value and has no class here.
"""

from __future__ import annotations

from dataclasses import dataclass


class FarmgateError(Exception):
    """The base of all of them; its text is fit to be shown to a person."""


class LostRace(FarmgateError):
    """A guarded update found no row: someone else moved it first."""


class StaleAttempt(FarmgateError):
    """What arrived belongs to an attempt that is no longer the live one."""


class StaleEpoch(FarmgateError):
    """An older controller asked a target to act."""


class IllegalMove(FarmgateError):
    """A move that the page of states does not allow: a bug of ours."""


class NotFound(FarmgateError):
    """No such repository, run, lane, node..."""


class Conflict(FarmgateError):
    """The request contradicts what is already there."""


class Unauthorised(FarmgateError):
    """No credential, a wrong one, or one without this right."""


class Forbidden(FarmgateError):
    """A good credential without the right for this, or a request that another site made a browser send."""


class BadSignature(FarmgateError):
    """A webhook whose signature does not fit its bytes."""


class BadPayload(FarmgateError):
    """A webhook that cannot be read; the text names the field."""


class NotInRepository(FarmgateError):
    """A commit, ref or path that the mirror does not hold."""


class NotAFile(FarmgateError):
    """A symbolic link, a folder, a submodule or something too large, where a file was wanted."""


class RemoteUnreachable(FarmgateError):
    """Git could not reach the repository; the text is git's own last line."""


class BrokerUnreachable(FarmgateError):
    """Redis did not answer; nothing is lost, the bell is rung again."""


class ServerUnreachable(FarmgateError):
    """The scheduler's API did not answer."""


class ServerFull(FarmgateError):
    """The scheduler has no room for what was sent: lost infrastructure; the text says where."""


class Refused(FarmgateError):
    """The scheduler understood the request and would not do it; the text is its own."""


class EngineError(FarmgateError):
    """The container engine failed: lost infrastructure, never a failed test."""


class ImageMissing(FarmgateError):
    """An image that cannot be had, by its name."""


class RegistryUnreachable(FarmgateError):
    """The registry of an image did not answer: lost infrastructure; the text is the engine's own."""


class RegistryRefused(FarmgateError):
    """The registry answered and would not take an image; the text names the setting to look at."""


class TargetError(FarmgateError):
    """A target did not do what it was asked; the text says how far it came."""


class MissingProgram(FarmgateError):
    """A program that Farmgate needs is not on this machine; the text says how to get it."""


class FolderInUse(FarmgateError):
    """Another farm works in this data folder."""


class ProcessFailed(FarmgateError):
    """A process of the farm does not come up; the text ends with the last lines of its log."""


class PortTaken(FarmgateError):
    """The address to listen on is in use."""


class TooLarge(FarmgateError):
    """More bytes than the limit allows; the text names the limit."""


class DamagedBlob(FarmgateError):
    """A blob whose bytes are not what its name says."""


class BlobsUnreachable(FarmgateError):
    """The blob store did not answer, or refused us; the text is its own."""


class NewerDatabase(FarmgateError):
    """The database was made by a newer version than this one."""


class DatabaseUnreachable(FarmgateError):
    """The database does not answer, or cannot write; the text ends with its own words."""


class NoSpace(FarmgateError):
    """A disk is full; the text names the folder."""


class BadSettings(FarmgateError):
    """A setting that cannot be used; the text names it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a document, at a place. Lines and columns count from 1."""

    source: str
    line: int
    column: int
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.source}:{self.line}:{self.column}: {self.message}{hint}"


class BadDocument(FarmgateError):
    """A pipeline or policy file with problems, each at file:line:column."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
