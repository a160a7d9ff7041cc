"""Templates, static files, and what every page's answer carries.

Rules:
1. Everything is escaped by Jinja; no template marks text as safe, no page holds inline script or style.
2. Static files are read once; their address carries a hash of all of them, so that they may be cached for ever.
3. A page answers errors as a page: what is wrong, what to do, a way back. A stranger is led to the sign-in.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlencode

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup

from scheduler.context import Context
from scheduler.pages import words

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Vary": "HX-Request",
}
FOR_EVER = "public, max-age=31536000, immutable"


@cache
def static_files() -> Mapping[str, bytes]:
    """Every static file by its path."""
    found: dict[str, bytes] = {}
    ahead = [("", resources.files("scheduler.pages") / "static")]
    while ahead:
        prefix, folder = ahead.pop()
        for entry in folder.iterdir():
            if entry.is_dir():
                ahead.append((f"{prefix}{entry.name}/", entry))
            else:
                found[prefix + entry.name] = entry.read_bytes()
    return found


@cache
def static_version() -> str:
    """A hash of all static files and their names."""
    total = hashlib.sha256()
    for name, content in sorted(static_files().items()):
        total.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return total.hexdigest()[:12]


def static(name: str) -> str:
    """The address of a static file."""
    if name not in static_files():
        raise KeyError(f"no static file {name}")
    return f"/static/{static_version()}/{name}"


def static_answer(version: str, name: str) -> Response:
    """A static file; one asked for by an older page's hash is given too, but not kept."""
    content = static_files().get(name)
    if content is None:
        return Response("no such file", 404, {"X-Content-Type-Options": "nosniff"}, "text/plain")
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0] or "text/plain"
    keep = FOR_EVER if version == static_version() else "no-cache"
    return Response(content, 200, {"Cache-Control": keep, "X-Content-Type-Options": "nosniff"}, kind)


# --- what templates may say ----------------------------------------------------------------------------------------


@jinja2.pass_context
def _ago(context: jinja2.runtime.Context, when: datetime | None) -> Markup:
    return _time(when, "ago", words.distance(when, context["now"])) if when else Markup()


@jinja2.pass_context
def _since(context: jinja2.runtime.Context, when: datetime | None) -> Markup:
    return _time(when, "since", _ticking((context["now"] - when).total_seconds())) if when else Markup()


@jinja2.pass_context
def _took(context: jinja2.runtime.Context, start: datetime | None, end: datetime | None) -> Markup:
    """How long something took, or has taken so far."""
    if start is None:
        return Markup()
    if end is not None:
        return Markup('<span class="num" title="{}">{}</span>').format(
            f"{words.exact(start)} to {words.exact(end)}", words.span(end - start)
        )
    return _time(start, "since", _ticking((context["now"] - start).total_seconds()))


def _ticking(seconds: float) -> str:
    return words.span(float(int(max(1.0, seconds))))


def _time(when: datetime, show: str, told: str) -> Markup:
    return Markup('<time datetime="{}" data-show="{}" title="{}">{}</time>').format(
        when.isoformat(), show, words.exact(when), told
    )


def query(pairs: Mapping[str, Any]) -> str:
    """As the query of an address; what is empty is left out."""
    return urlencode({name: value for name, value in pairs.items() if value})


def wave_class(rollout: Mapping[str, Any], index: int) -> str:
    """How a wave is drawn."""
    wave, state = rollout["wave"], str(rollout["state"])
    if state in ("good", "finishing") or index < wave:
        return "bad" if state in ("restoring", "sick", "stuck") else "done"
    if index > wave or state == "pending":
        return ""
    return {"asking": "ask", "restoring": "bad", "sick": "bad", "stuck": "bad"}.get(state, "now")


@cache
def environment() -> jinja2.Environment:
    """The templates, with what they may call."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("scheduler.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        static=static,
        look=words.look,
        span=words.span,
        short=words.short,
        branch=words.branch,
        plural=words.plural,
        size=words.size,
        ago=_ago,
        since=_since,
        took=_took,
        wave_class=wave_class,
    )
    made.filters["query"] = query
    made.filters["first_line"] = lambda text: (text or "").split("\n", 1)[0]
    made.filters["basename"] = lambda path: str(path).rsplit("/", 1)[-1]
    return made


def page(
    request: Request,
    context: Context,
    template: str,
    values: Mapping[str, Any],
    *,
    viewer: str | None,
    status: int = 200,
) -> HTMLResponse:
    """A page as an answer. `viewer` is who is signed in; `here` and `live` may stand among the values."""
    shown = {"here": request.url.path, "live": True, "now": context.clock.now(), "viewer": viewer, **values}
    return HTMLResponse(environment().get_template(template).render(shown, frame="base.html"), status, HEADERS)


def is_refresh(request: Request) -> bool:
    """True if an open page asks for what is inside its frame."""
    return "hx-request" in request.headers


def inside(context: Context, template: str, values: Mapping[str, Any]) -> str:
    """A page without its frame: alike for everybody."""
    return environment().get_template(template).render({"now": context.clock.now(), **values}, frame="inside.html")
