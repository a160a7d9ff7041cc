"""What is asked before anything is done: what will happen, exactly, and why it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from farmgate import states
from farmgate.errors import Conflict
from farmgate.store import bans, cancelling, jobs, lanes, nodes, rollouts, runs
from scheduler import answers, approvals_api, asking
from scheduler.approval_bodies import ToApproveBody
from scheduler.auth import Admin, Person, Writer
from scheduler.context import Context
from scheduler.pages import lane, words

Show = Callable[[Request, Person, str, Callable[[Connection, datetime], dict[str, Any]]], Response]
KEPT: Final = "It is shown to everyone, and kept."
NODE_VERBS: Final = {
    "drain": ("Drain", "It finishes what it holds and takes nothing new, until somebody resumes it."),
    "resume": ("Resume", "It takes work again."),
    "remove": (
        "Remove",
        "Its credential is revoked at once; what it holds is given to other nodes. To come back it must join anew.",
    ),
}


def asked(title: str, action: str, back: str, submit: str, *lines: str, **more: Any) -> dict[str, Any]:
    """The values of confirm.html."""
    values: dict[str, Any] = {
        "title": title,
        "action": action,
        "back": back,
        "lines": lines,
        "submits": [{"label": submit, "danger": False, "name": None, "value": None}],
        "command": None,
        "choices": [],
        "takes_title": "",
        "takes": [],
        "hidden": [],
        "ask_for": False,
        "anew": False,
        "reason": None,
        "text": None,
        "commit": None,
        "commits": None,
        "scopes": [],
        "days": {},
        "live": False,
    }
    return {**values, **more}


def add(pages: APIRouter, context: Context, show: Show) -> None:
    """The questions' addresses."""

    @pages.get("/runs/{run_id}/cancel")
    def cancel(request: Request, person: Writer, run_id: int) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            run = runs.by_id(connection, run_id)
            if states.is_final(run.state):
                raise Conflict(f"run {run_id} is over already: {run.state}")
            where = f"/runs/{run_id}"
            told = "Jobs that run are stopped within seconds; those that wait never start."
            clearing = cancelling.would_clean_up(connection, run_id)
            if clearing:
                names = ", ".join(clearing[:5]) + (f" and {len(clearing) - 5} more" if len(clearing) > 5 else "")
                told += f" What cleans up after them still runs ({names}); cancel once more to end that too."
            return asked(
                f"Cancel run {run_id}?",
                f"{where}/cancel",
                where,
                "Cancel the run",
                told,
                reason=KEPT,
                submits=danger("Cancel the run"),
            )

        return show(request, person, "confirm.html", read)

    @pages.get("/runs/{run_id}/rerun")
    def rerun(request: Request, person: Writer, run_id: int, job: str = "") -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            return _again(connection, run_id, job)

        return show(request, person, "confirm.html", read)

    @pages.get("/runs/{run_id}/allow")
    def allow(request: Request, person: Writer, run_id: int) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            run = runs.by_id(connection, run_id)
            if run.hold is None or states.is_final(run.state):
                raise Conflict(f"run {run_id} is not held")
            where = f"/runs/{run_id}"
            told = "Its commands run on a node, as those of a stranger: without secrets, and nothing it makes counts."
            bound = f"This is for {run.sha} alone. A further commit of {words.branch(run.ref)} asks anew."
            title = f"Let commit {words.short(run.sha)} run?"
            return asked(title, f"{where}/allow", where, "Allow it", told, bound, hidden=[("sha", run.sha)])

        return show(request, person, "confirm.html", read)

    @pages.get("/runs/{run_id}/jobs/{job_id}/answer")
    def answer(request: Request, person: Writer, run_id: int, job_id: int) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            job = jobs.by_id(connection, job_id)
            question = answers.question(job)
            if job.state is not states.Job.ASKING or job.run_id != run_id:
                raise Conflict(f"{job.name} does not ask (any more): it is {job.state}")
            run = runs.by_id(connection, run_id)
            where = f"/runs/{run_id}"
            submits = [
                {"label": "Approve", "danger": False, "name": "verdict", "value": "approve"},
                {"label": "Decline", "danger": True, "name": "verdict", "value": "decline"},
            ]
            lines = [
                question.text,
                f"For commit {words.short(run.sha)} of {words.branch(run.ref)}.",
                f"Who may answer: {', '.join(question.by) or 'whoever may write'}.",
                f"Without an answer {words.distance(job.deadline, now)} it counts as declined.",
            ]
            action = f"{where}/jobs/{job_id}/answer"
            return asked(f"{job.name} asks", action, where, "", *lines, submits=submits, text=KEPT)

        return show(request, person, "confirm.html", read)

    @pages.get("/lanes/{application}/{environment}/rollback")
    def rollback(
        request: Request, person: Writer, application: str, environment: str, to: int | None = None
    ) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            row = lanes.by_name(connection, application, environment)
            return _rollback(connection, application, environment, lane.taken_back(connection, row, to))

        return show(request, person, "confirm.html", read)

    @pages.get("/lanes/{application}/{environment}/hold")
    def hold(request: Request, person: Writer, application: str, environment: str) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            lanes.by_name(connection, application, environment)
            where = f"/lanes/{application}/{environment}"
            told = "No new rollout begins until the hold ends. One that is under way goes on."
            title = f"Hold {application} / {environment}?"
            return asked(title, f"{where}/hold", where, "Hold the lane", told, reason=KEPT, ask_for=True)

        return show(request, person, "confirm.html", read)

    @pages.get("/lanes/{application}/{environment}/approve")
    def approve(request: Request, person: Writer, application: str, environment: str) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            row = lanes.by_name(connection, application, environment)
            return _approve(approvals_api.to_approve(connection, row, person.name, now), application, environment)

        return show(request, person, "confirm.html", read)

    @pages.get("/stop")
    def stop(request: Request, person: Writer) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            told = "No lane begins a rollout, and none that is under way takes a further wave or finishes."
            more = "Checks go on: what goes sick is taken back. You can still roll back."
            submits = danger("Stop every lane")
            return asked("Stop every lane?", "/stop", "/", "", told, more, reason=KEPT, ask_for=True, submits=submits)

        return show(request, person, "confirm.html", read)

    @pages.get("/go-on")
    def go_on(request: Request, person: Writer) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            told = "Rollouts go on where they were, and new ones begin at once. Holds of single lanes stay."
            return asked("Let all lanes go on?", "/go-on", "/", "Let them go on", told)

        return show(request, person, "confirm.html", read)

    @pages.get("/lanes/{application}/{environment}/unhold")
    def unhold(request: Request, person: Writer, application: str, environment: str) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            lanes.by_name(connection, application, environment)
            where = f"/lanes/{application}/{environment}"
            told = "Every hold that stands is lifted, and the next batch may be cut at once."
            return asked(f"Lift the hold of {application} / {environment}?", f"{where}/unhold", where, "Lift it", told)

        return show(request, person, "confirm.html", read)

    @pages.get("/lanes/{application}/{environment}/decide")
    def decide(request: Request, person: Writer, application: str, environment: str) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            row = lanes.by_name(connection, application, environment)
            active = rollouts.active_of(connection, row.id)
            if active is None or active.state is not states.Rollout.ASKING:
                raise Conflict(f"{application}/{environment} does not ask any more")
            where = f"/lanes/{application}/{environment}"
            kind = asking.asked(connection, active)
            good, sick = asking.ANSWERS[kind]
            submits = [
                {"label": good, "danger": False, "name": "verdict", "value": "good"},
                {"label": sick, "danger": True, "name": "verdict", "value": "sick"},
            ]
            lines = [active.reason or "Its checks could not tell.", asking.advice(kind)]
            title = asking.title(kind, active.number, f"{application} / {environment}")
            return asked(title, f"{where}/decide", where, "", *lines, reason=KEPT, submits=submits)

        return show(request, person, "confirm.html", read)

    @pages.get("/lanes/{application}/{environment}/bans/{sha}/lift")
    def lift(request: Request, person: Writer, application: str, environment: str, sha: str) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            row = lanes.by_name(connection, application, environment)
            where = f"/lanes/{application}/{environment}"
            found = [ban for ban in bans.standing(connection, row.id) if ban.sha == sha]
            lines = [f"It was banned by {ban.created_by}: {ban.reason}" for ban in found]
            lines.append("Without the ban it may ship with the next batch.")
            title = f"Lift the ban of {words.short(sha)}?"
            return asked(title, f"{where}/bans/{sha}/lift", where, "Lift the ban", *lines, reason=KEPT)

        return show(request, person, "confirm.html", read)

    @pages.get("/lanes/{application}/{environment}/bans/{sha}/fixed")
    def fixed(request: Request, person: Writer, application: str, environment: str, sha: str) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            row = lanes.by_name(connection, application, environment)
            where = f"/lanes/{application}/{environment}"
            found = [ban for ban in bans.standing(connection, row.id) if ban.sha == sha]
            lines = [f"It was banned by {ban.created_by}: {ban.reason}" for ban in found]
            lines.append("A later commit fixes it and does not say so itself: batches that hold both may go.")
            title = f"What fixes {words.short(sha)}?"
            said = "its hash, or the first digits"
            return asked(title, f"{where}/bans/{sha}/fixed", where, "That fixes it", *lines, reason=KEPT, commit=said)

        return show(request, person, "confirm.html", read)

    @pages.get("/nodes/enrol")
    def enrol(request: Request, person: Admin) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            told = "The command that lets one machine join is shown once, and works once."
            return asked("Add a node?", "/nodes/enrol", "/nodes", "Show the command", told)

        return show(request, person, "confirm.html", read)

    @pages.get("/nodes/{name}/{verb}")
    def node(request: Request, person: Admin, name: str, verb: str) -> Response:
        def read(connection: Connection, now: datetime) -> dict[str, Any]:
            if verb not in NODE_VERBS:
                raise Conflict(f"a node cannot {verb}")
            word, told = NODE_VERBS[verb]
            held = len(nodes.by_name(connection, name).holding)
            lines = [told, f"It holds {words.plural(held, 'job')} now."]
            submits = (
                danger(word) if verb == "remove" else [{"label": word, "danger": False, "name": None, "value": None}]
            )
            return asked(f"{word} {name}?", f"/nodes/{name}/{verb}", "/nodes", word, *lines, submits=submits)

        return show(request, person, "confirm.html", read)


def _again(connection: Connection, run_id: int, job: str) -> dict[str, Any]:
    run = runs.by_id(connection, run_id)
    failed = [
        row for row in jobs.of_run(connection, run_id) if row.state not in (states.Job.PASSED, states.Job.SKIPPED)
    ]
    submits = [{"label": "Run all of it again", "danger": False, "name": "what", "value": "all"}]
    if failed and states.is_final(run.state):
        submits.insert(0, {"label": "Only what failed", "danger": False, "name": "what", "value": "failed"})
    if job:
        submits.insert(0, {"label": f"Only {job}", "danger": False, "name": "what", "value": f"job:{job}"})
    lines = [
        f"A new run of {words.short(run.sha)} is made with exactly the inputs of this one. This one stays.",
        "It never counts as newer than what was pushed since.",
    ]
    return asked("Run again?", f"/runs/{run_id}/rerun", f"/runs/{run_id}", "", *lines, submits=submits, anew=True)


def danger(label: str) -> list[dict[str, Any]]:
    """One button that says that it takes something away."""
    return [{"label": label, "danger": True, "name": None, "value": None}]


def _approve(batch: ToApproveBody, application: str, environment: str) -> dict[str, Any]:
    where = f"/lanes/{application}/{environment}"
    title = f"Approve the next batch of {application} / {environment}?"
    if batch.until_sha is None:
        return asked(title, "", where, "", batch.words, submits=[])
    lines = [
        f"{words.plural(batch.commit_count, 'commit')} up to {words.short(batch.until_sha)} {batch.until_title}.",
        *(f"{name}: {digest}" for name, digest in batch.artifacts.items()),
        f"The lane asks for {words.plural(batch.count, 'approval')} of {', '.join(batch.by) or 'whoever may write'}.",
    ]
    if batch.own:
        lines.append(f"{batch.own} of them are yours: for these somebody else must agree.")
    return asked(
        title,
        f"{where}/approve",
        where,
        "Approve exactly this",
        *lines,
        takes_title="What you have not approved yet, newest first",
        takes=[{"sha": each.sha, "title": each.title, "author": each.author} for each in reversed(batch.commits)],
        hidden=[("since", batch.since_sha or ""), ("until", batch.until_sha)],
        text=KEPT,
    )


def _rollback(connection: Connection, application: str, environment: str, found: dict[str, Any]) -> dict[str, Any]:
    where = f"/lanes/{application}/{environment}"
    title = f"Roll back {application} / {environment}?"
    live, target, taken = found["live"], found["target"], found["commits"]
    if live is None or target is None:
        told = "Nothing is live here yet." if live is None else "There is no earlier good release to go back to."
        return asked(title, "", where, "", told, submits=[])
    back_there = f"#{target['number']} ({words.short(target['sha'])})"
    lines = [
        f"Live is rollout #{live['number']} ({words.short(live['sha'])}). It goes back to {back_there}, verified good.",
        "What is taken back is banned here: it ships again with its fix or revert, or when somebody lifts the ban.",
        "A rollout under way is stopped first.",
    ]
    submits = danger(f"Roll back to #{target['number']}")
    if found["mates"]:
        others = ", ".join(found["mates"])
        lines.append(f"It goes together with {others}. Together, each of them goes to what was live there then.")
        submits = [
            {"label": "Roll back together", "danger": True, "name": "together", "value": "yes"},
            {"label": f"Only {application} / {environment}", "danger": True, "name": "together", "value": "no"},
        ]
    choices = [
        {
            "label": f"#{choice['number']} {words.short(choice['sha'])} {choice['title'][:40]}",
            "href": f"{where}/rollback?to={choice['number']}",
            "chosen": choice["sha"] == target["sha"],
        }
        for choice in found["choices"]
    ]
    return asked(
        title,
        f"{where}/rollback",
        where,
        "",
        *lines,
        choices=choices if len(choices) > 1 else [],
        takes_title=f"Takes back {words.plural(len(taken), 'commit')}, newest first",
        takes=taken,
        hidden=[("to", target["number"]), ("live", live["number"])],
        reason=f"Why? {KEPT}",
        submits=submits,
    )
