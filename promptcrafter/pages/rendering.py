"""Rendering of templates, with what all pages show, and with their headers."""

import hashlib
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, render_template, request, url_for

from promptcrafter.pages import audit_words, charts, formatting, lists, notices
from promptcrafter.pages.chart_parts import legend
from promptcrafter.pages.example_calls import write_log_call
from promptcrafter.pages.field_names import to_words
from promptcrafter.pages.scales import write_value
from promptcrafter.workspaces import store as workspaces
from promptcrafter.workspaces.principal import Principal, is_owner

_URLS = 2000  # that are remembered
_AN_ID = "ID"
STATIC = Path(__file__).parent / "static"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def init_app(app: Flask) -> None:
    """Add the filters and functions of the templates."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        formatting.FILTERS,
        to_words=to_words,
        form_number=write_value,
        score_value=lambda score: write_value(score.value),
    )
    app.jinja_env.filters.update(audit_words.FILTERS)
    app.jinja_env.globals.update(
        asset=asset,
        place=place,
        row_links=row_links,
        link=lists.link,
        notice_texts=notices.TEXTS,
        write_curl=lists.write_curl,
        write_log_call=write_log_call,
        waterfall_bar=charts.waterfall_bar,
        chart_legend=legend,
    )


def render(template: str, **values: Any) -> Response:
    """Return the page that a template makes."""
    response = _answer(render_template(template, **_shared(), **values))
    notices.take_notice(response)
    return response


def render_part(template: str, **values: Any) -> Response:
    """Return a part of a page, for a script that puts it there: without the layout and what that shows."""
    return _answer(render_template(template, **values))


def no_content() -> Response:
    """Return an answer without content to a script of a page."""
    return _answer("", 204)


def _answer(html: str, status: int = 200) -> Response:
    response = Response(html, status)
    response.headers["Vary"] = "Cookie, HX-Request"
    return protect(response)


def protect(response: Response) -> Response:
    """Add the headers of all pages that protect their readers."""
    response.headers["Content-Security-Policy"] = _POLICY
    # a form of a page sent with `no-referrer` would have `Origin: null`: see `forgery`
    response.headers["Referrer-Policy"] = "same-origin"
    return response


def asset(name: str) -> str:
    """Return the URL of a static file, which changes with its content, so that browsers keep it for good."""
    return _make_asset_url(request.script_root, name)


def place(endpoint: str) -> str:
    """Return the URL of a page that takes no parameter but the workspace: `url_for`, for the dozen in every frame."""
    return _make_url(request.script_root, g.get("workspace_of_page") or _current_slug(), endpoint)


def row_links(endpoint: str, name: str, /, **values: Any) -> Callable[[str], str]:
    """Return a function from an id to the URL of its page, which ends with the id: `url_for`, for many rows.

    `name` is the parameter of the id, and `values` are parameters that all URLs have.
    """
    path, mark, query = url_for(endpoint, **values | {name: _AN_ID}).partition("?")
    beginning = path.removesuffix(_AN_ID)
    return lambda public_id: f"{beginning}{public_id}{mark}{query}"


# Both have what the URLs depend on as arguments: making one takes as long as executing a statement
@lru_cache(maxsize=_URLS)
def _make_asset_url(root: str, name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return url_for("docs.get_static", name=f"{stem}-{_digest(name)}{dot}{ending}")


@lru_cache(maxsize=_URLS)
def _make_url(root: str, workspace: str | None, endpoint: str) -> str:
    return url_for(endpoint)


def _current_slug() -> str | None:
    principal = _principal()
    return None if principal is None else principal.memberships[principal.current_id].slug


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]


def _principal() -> Principal | None:
    principal: Principal | None = g.get("principal")
    return principal


def _shared() -> dict[str, Any]:
    """Return what the layout shows: the account, its workspaces, and whether it may change things here."""
    principal = _principal()
    if principal is None:
        return {"account": None, "notice": notices.read_notice("a workspace", "a member")}
    membership = principal.memberships[principal.current_id]
    account, listed = workspaces.get_frame(principal)
    workspace = next((each for each in listed if each.id == principal.current_id), None)
    return {
        "account": account,
        "workspace": workspace,
        "workspaces": listed,
        "may_edit": membership.role != "viewer",
        "is_owner": is_owner(principal, principal.current_id),
        "path": request.script_root + request.path,
        "notice": notices.read_notice(workspace.name if workspace else "", membership.role),
        "notice_name": request.cookies.get(notices.COOKIE),
    }
