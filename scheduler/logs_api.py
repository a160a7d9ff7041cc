"""Logs: whole as text, or live as server-sent events.

chunk  {offset, text, times}    id: the offset of what follows, so that Last-Event-ID resumes there; times: [offset, ms]
step   {number, name, state, exit_code, log_offset, ...}
attempt {attempt, reason}       the attempt was lost; what follows is the next one's log, from 0
end    {state}                  the job is over and its log complete
"""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

from farmgate import states
from farmgate.models import Attempt, Step
from farmgate.store import attempts
from scheduler import job_views, log_reading, log_search
from scheduler.auth import Person
from scheduler.changes import Ear
from scheduler.context import Context
from scheduler.log_index import milliseconds

LOOK_AGAIN = timedelta(seconds=1)
PIECES_AT_ONCE = 4
Offset = Annotated[int, Query(ge=0)]


class LogMatch(BaseModel):
    """A line that holds the text: the line around it, and where in that it stands, in characters."""

    line: int
    text: str
    at: int
    length: int


class LogFound(BaseModel):
    """`next_offset`: where the search goes on; null: it came to the end of the log."""

    matches: list[LogMatch]
    next_offset: int | None
    next_line: int


def router(context: Context) -> APIRouter:
    routes = APIRouter(prefix="/api/jobs", tags=["logs"])

    @routes.get("/{job}/log", response_class=StreamingResponse)
    def text(person: Person, job: int, attempt: int | None = None, offset: Offset = 0) -> StreamingResponse:
        """The log's bytes from `offset` on; the header X-Farmgate-Log-End says that it is complete with them."""
        row, found = log_reading.find(context, job, attempt)
        headers = {"X-Content-Type-Options": "nosniff"}
        if found is None:
            if states.is_final(row.state):
                headers["X-Farmgate-Log-End"] = str(row.state)
            return StreamingResponse(iter(()), media_type="text/plain; charset=utf-8", headers=headers)
        if log_reading.is_over(found):
            headers["X-Farmgate-Log-End"] = str(found.state)
        pieces = log_reading.whole(context, found, offset)
        return StreamingResponse(pieces, media_type="text/plain; charset=utf-8", headers=headers)

    @routes.get("/{job}/log/search")
    def search(
        person: Person,
        job: int,
        q: Annotated[str, Query(min_length=1, max_length=500)],
        attempt: int | None = None,
        offset: Offset = 0,
        line: Annotated[int, Query(ge=1)] = 1,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
        exact_case: bool = False,
    ) -> LogFound:
        """The lines that hold a text. A large log is searched in parts: ask again with `next_offset`, `next_line`."""
        _, known = log_reading.find(context, job, attempt)
        if known is None:
            return LogFound(matches=[], next_offset=None, next_line=1)
        pieces = log_reading.following(context, known.id, offset)
        found = log_search.search(pieces, q, offset=offset, line=line, limit=limit, exact_case=exact_case)
        told = [LogMatch(line=one.line, text=one.text, at=one.at, length=one.length) for one in found.matches]
        return LogFound(matches=told, next_offset=found.next_offset, next_line=found.next_line)

    @routes.get("/{job}/log/stream", response_class=EventSourceResponse)
    async def stream(
        person: Person,
        job: int,
        attempt: int | None = None,
        offset: Offset = 0,
        last_event_id: Annotated[str, Header()] = "",
    ) -> EventSourceResponse:
        """The log as it grows."""
        await run_in_threadpool(log_reading.find, context, job, attempt)
        start = int(last_event_id) if last_event_id.isdigit() else offset
        return EventSourceResponse(follow(context, job, attempt, start), headers={"Cache-Control": "no-store"})

    return routes


async def follow(context: Context, job: int, number: int | None, offset: int) -> AsyncIterator[ServerSentEvent]:
    """The events of one job's log."""
    with context.changes.listening(job) as ear:
        at = number
        while True:
            row, attempt = await run_in_threadpool(log_reading.find, context, job, at)
            if attempt is None:
                if states.is_final(row.state):
                    yield _event("end", {"state": row.state})
                    return
                await ear.wait(LOOK_AGAIN)
                continue
            async for event in _one_attempt(context, job, attempt, offset, ear):
                yield event
            row, ended = await run_in_threadpool(log_reading.find, context, job, attempt.number)
            if number is not None or states.is_final(row.state) or ended is None:
                state = row.state if number is None or ended is None else ended.state
                yield _event("end", {"state": state})
                return
            at, offset = None, 0
            while (await run_in_threadpool(log_reading.find, context, job, None))[1] == ended:
                row, _ = await run_in_threadpool(log_reading.find, context, job, None)
                if states.is_final(row.state):
                    yield _event("end", {"state": row.state})
                    return
                await ear.wait(LOOK_AGAIN)
            yield _event("attempt", {"attempt": attempt.number + 1, "reason": ended.reason})


async def _one_attempt(
    context: Context, job: int, attempt: Attempt, offset: int, ear: Ear
) -> AsyncIterator[ServerSentEvent]:
    told: dict[int, Step] = {}
    reader = log_reading.following(context, attempt.id, offset)  # kept: a packed log is read from its beginning once
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while True:
        # Asked before the bytes are read: what was over then is complete after them.
        _, now = await run_in_threadpool(log_reading.find, context, job, attempt.number)
        over = now is None or log_reading.is_over(now)
        pieces = await run_in_threadpool(log_reading.some, reader, PIECES_AT_ONCE)
        for piece in pieces:
            start, offset = offset, offset + len(piece)
            if text := decode.decode(piece):
                # A character cut in half is held back; a viewer who resumes gets it whole.
                held = len(decode.getstate()[0])
                came = await run_in_threadpool(log_reading.marks, context, attempt.id, start, offset)
                times = [[mark.offset, milliseconds(mark.at)] for mark in came]
                yield _event("chunk", {"offset": start, "text": text, "times": times}, str(offset - held))
        if len(pieces) < PIECES_AT_ONCE:  # it came to the end, and ends with it
            reader = log_reading.following(context, attempt.id, offset)
        for step in await run_in_threadpool(_steps, context, attempt.id):
            if told.get(step.number) != step:
                told[step.number] = step
                yield _event("step", job_views.step_body(step).model_dump(mode="json"))
        if over and not pieces:
            if rest := decode.decode(b"", final=True):
                yield _event("chunk", {"offset": offset, "text": rest}, str(offset))
            return
        if not pieces:
            await ear.wait(LOOK_AGAIN)


def _steps(context: Context, attempt_id: int) -> list[Step]:
    with context.store.reading() as connection:
        return attempts.steps_of(connection, [attempt_id])


def _event(kind: str, body: dict[str, object], number: str | None = None) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(body), event=kind, id=number)
