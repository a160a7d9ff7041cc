"""What the pages' forms do. Each asks the same functions as the JSON API, then leads back to the page.

Rules:
1. Every action is a POST of a person with the right; a browser's must come from a page of ours (`scheduler.auth`).
2. A reason is asked for what takes something away, and kept.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from farmgate import states
from farmgate.errors import BadPayload, TooLarge
from farmgate.models import Verdict
from scheduler import again, answers, approvals_api, holds_api, hotfix_api, lanes_api, node_api, runs_api
from scheduler.approval_bodies import ApproveAsked
from scheduler.auth import Admin, Writer
from scheduler.context import Context
from scheduler.making import MOST_PICKS
from scheduler.pages import rendering
from scheduler.pages.confirm import NODE_VERBS, asked

FORM_LIMIT_BYTES = 64 * 1024
_HASH = re.compile("[0-9a-f]{4,64}")
HOLD_SPANS = {
    "PT1H": timedelta(hours=1),
    "PT4H": timedelta(hours=4),
    "P1D": timedelta(days=1),
    "P7D": timedelta(days=7),
}


async def form(request: Request) -> dict[str, str]:
    """A form's fields; the last of each name. Raises TooLarge, BadPayload."""
    return await fields_of(request, FORM_LIMIT_BYTES)


async def fields_of(request: Request, limit_bytes: int, *, strip: bool = True) -> dict[str, str]:
    """A form's fields; without `strip` just as they came. Raises TooLarge, BadPayload."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > limit_bytes:
            raise TooLarge(f"a form may have {limit_bytes} bytes")
    try:
        pairs = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=50)
    except ValueError:  # its words may hold what was in it
        raise BadPayload("the form cannot be read: it is no form of UTF-8 with at most 50 fields") from None
    return {name: values[-1].strip() if strip else values[-1] for name, values in pairs.items()}


Fields = Annotated[dict[str, str], Depends(form)]


def reason_in(fields: dict[str, str]) -> str:
    """Raises BadPayload without one."""
    reason = fields.get("reason", "")
    if not reason:
        raise BadPayload("say why: the reason is shown to everyone, and kept")
    return reason[:500]


def _commit_in(fields: dict[str, str], which: str) -> str:
    """Raises BadPayload where it is no hash."""
    commit = fields.get("commit", "").lower()
    if not _HASH.fullmatch(commit):
        raise BadPayload(f"commit: the hash of {which}, or its first digits (four or more)")
    return commit


def _wish(fields: dict[str, str]) -> again.Wish:
    what = fields.get("what", "all")
    job = what.removeprefix("job:") if what.startswith("job:") else None
    return again.Wish(failed=what == "failed", job=job, reuse=fields.get("reuse") != "no")


def back_to(where: str) -> Response:
    """To a page, by GET."""
    return RedirectResponse(where, 303)


def add(pages: APIRouter, context: Context) -> None:
    """The forms' addresses."""

    @pages.post("/runs/{run_id}/cancel")
    def cancel(person: Writer, run_id: int, fields: Fields) -> Response:
        runs_api.cancel(context, run_id, person.name, reason_in(fields))
        return back_to(f"/runs/{run_id}")

    @pages.post("/runs/{run_id}/rerun")
    def rerun(person: Writer, run_id: int, fields: Fields) -> Response:
        return back_to(f"/runs/{again.run_again(context, run_id, _wish(fields), person.name)}")

    @pages.post("/runs/{run_id}/allow")
    def allow(person: Writer, run_id: int, fields: Fields) -> Response:
        runs_api.allow(context, run_id, fields.get("sha") or None, person.name)
        return back_to(f"/runs/{run_id}")

    @pages.post("/runs/{run_id}/jobs/{job_id}/answer")
    def answer(person: Writer, run_id: int, job_id: int, fields: Fields) -> Response:
        given = {"approve": Verdict.APPROVED, "decline": Verdict.DECLINED}.get(fields.get("verdict", ""))
        if given is None:
            raise BadPayload("verdict: approve or decline")
        answers.answer(context, job_id, person, given, fields.get("text", ""))
        return back_to(f"/runs/{run_id}")

    @pages.post("/lanes/{application}/{environment}/rollback")
    def rollback(person: Writer, application: str, environment: str, fields: Fields) -> Response:
        why = reason_in(fields)
        for name in ("to", "live"):
            if not fields.get(name, "").isdigit():
                raise BadPayload(f"{name}: the number of a rollout")
        to, live = int(fields["to"]), int(fields["live"])
        together = {"yes": True, "no": False}.get(fields.get("together", ""))
        lanes_api.roll_back(context, application, environment, to, why, person.name, live, together=together)
        return back_to(f"/lanes/{application}/{environment}")

    @pages.post("/lanes/{application}/{environment}/hold")
    def hold(person: Writer, application: str, environment: str, fields: Fields) -> Response:
        why = reason_in(fields)
        until = context.clock.now() + HOLD_SPANS.get(fields.get("for", ""), HOLD_SPANS["P1D"])
        holds_api.hold(context, application, environment, until, why, person.name)
        return back_to(f"/lanes/{application}/{environment}")

    @pages.post("/lanes/{application}/{environment}/unhold")
    def unhold(person: Writer, application: str, environment: str) -> Response:
        holds_api.unhold(context, application, environment, person.name)
        return back_to(f"/lanes/{application}/{environment}")

    @pages.post("/lanes/{application}/{environment}/approve")
    def approve(person: Writer, application: str, environment: str, fields: Fields) -> Response:
        shown = ApproveAsked(
            since_sha=fields.get("since") or None,
            until_sha=fields.get("until", ""),
            reason=fields.get("text", "")[:1000],
        )
        approvals_api.approve(context, application, environment, shown, person.name)
        return back_to(f"/lanes/{application}/{environment}")

    @pages.post("/lanes/{application}/{environment}/hotfix")
    def hotfix(person: Writer, application: str, environment: str, fields: Fields) -> Response:
        commits = re.split(r"[\s,]+", fields.get("commits", "").strip().lower())
        if not all(_HASH.fullmatch(commit) for commit in commits) or len(commits) > MOST_PICKS:
            raise BadPayload("commits: their hashes, or the first digits (four or more), oldest first")
        hotfix_api.ask(context, application, environment, commits, reason_in(fields), person.name)
        return back_to(f"/lanes/{application}/{environment}")

    @pages.post("/lanes/{application}/{environment}/hotfixes/{number}/cancel")
    def cancel_hotfix(person: Writer, application: str, environment: str, number: int, fields: Fields) -> Response:
        hotfix_api.cancel(context, application, environment, number, reason_in(fields), person.name)
        return back_to(f"/lanes/{application}/{environment}")

    @pages.post("/lanes/{application}/{environment}/hotfixes/{number}/contained")
    def contained(person: Writer, application: str, environment: str, number: int, fields: Fields) -> Response:
        commit = _commit_in(fields, "the one that contains it")
        hotfix_api.say_contained(context, application, environment, number, commit, reason_in(fields), person.name)
        return back_to(f"/lanes/{application}/{environment}")

    @pages.post("/stop")
    def stop(person: Writer, fields: Fields) -> Response:
        why = reason_in(fields)
        until = context.clock.now() + HOLD_SPANS.get(fields.get("for", ""), HOLD_SPANS["P1D"])
        holds_api.stop(context, until, why, person.name)
        return back_to("/")

    @pages.post("/go-on")
    def go_on(person: Writer) -> Response:
        holds_api.go_on(context, person.name)
        return back_to("/")

    @pages.post("/lanes/{application}/{environment}/decide")
    def decide(person: Writer, application: str, environment: str, fields: Fields) -> Response:
        why, verdict = reason_in(fields), fields.get("verdict", "")
        if verdict not in ("good", "sick"):
            raise BadPayload("verdict: good or sick")
        lanes_api.decide(context, application, environment, verdict, why, person.name)
        return back_to(f"/lanes/{application}/{environment}")

    @pages.post("/lanes/{application}/{environment}/bans/{sha}/lift")
    def lift(person: Writer, application: str, environment: str, sha: str, fields: Fields) -> Response:
        lanes_api.lift_ban(context, application, environment, sha, reason_in(fields), person.name)
        return back_to(f"/lanes/{application}/{environment}")

    @pages.post("/lanes/{application}/{environment}/bans/{sha}/fixed")
    def fixed(person: Writer, application: str, environment: str, sha: str, fields: Fields) -> Response:
        commit = _commit_in(fields, "the fix")
        lanes_api.say_fixed(context, application, environment, sha, commit, reason_in(fields), person.name)
        return back_to(f"/lanes/{application}/{environment}")

    @pages.post("/nodes/enrol")
    def enrol(request: Request, person: Admin) -> Response:
        command = node_api.enrol(context, person.name).command
        lines = ("Run this on the machine, within an hour. It is shown this once.",)
        values = asked("Add a node", "", "/nodes", "", *lines, command=command, submits=[])
        return rendering.page(request, context, "confirm.html", values, viewer=person.name)

    @pages.post("/nodes/{name}/{verb}")
    def node(person: Admin, name: str, verb: str) -> Response:
        if verb not in NODE_VERBS:
            raise BadPayload(f"a node cannot {verb}")
        after = {"drain": states.Node.DRAINING, "resume": states.Node.READY, "remove": states.Node.REMOVED}[verb]
        node_api.change(context, name, after, person.name)
        return back_to("/nodes")
