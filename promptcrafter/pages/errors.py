"""Errors of pages: a page that says what is wrong and what to do, or the way to the sign-in.

A script of a page asks for JSON, and gets the error as the API returns it.
"""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Flask, Response, g, redirect, request, url_for
from sqlalchemy.exc import DBAPIError, TimeoutError
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.wrappers import Response as AnyResponse

from promptcrafter import ids
from promptcrafter.http import error_handlers
from promptcrafter.pages.field_names import list_sentences
from promptcrafter.pages.lists import find_way_back
from promptcrafter.pages.rendering import render
from promptcrafter.problems import InOtherWorkspace, Problem, Unauthorized

_TITLES = {
    400: "That does not work",
    403: "That is not allowed",
    404: "Not found",
    405: "That does not work",
    409: "That has changed meanwhile",
    413: "That is too large",
    429: "Too many attempts",
    503: "Not available at the moment",
}
_NOUNS = {"prompt_not_found": "prompt", "log_not_found": "output", "trace_not_found": "run"}


def init_app(app: Flask, root: str) -> None:
    """Let a method that a path below `root` does not take be answered by a page, too: no blueprint sees that error."""

    def refuse_method(error: MethodNotAllowed) -> AnyResponse:
        return show(error) if request.path.startswith(f"{root}/") else error_handlers.to_response(error)

    app.register_error_handler(MethodNotAllowed, refuse_method)


def register(blueprint: Blueprint) -> None:
    """Let errors of a blueprint's routes be pages."""
    blueprint.register_error_handler(Exception, show)


def show(error: Any) -> AnyResponse:
    """Return the page of an error; for a script that accepts JSON above all, the common body."""
    is_for_script = request.accept_mimetypes.best == "application/json"
    if isinstance(error, Problem) and error.status == 401 and not is_for_script:
        return _lead_to_sign_in()
    if isinstance(error, InOtherWorkspace) and request.method in ("GET", "HEAD") and not is_for_script:
        target = _find_page_there(error)
        if target is not None:
            return redirect(target, 303)
    response = error_handlers.to_response(error)
    if is_for_script:
        return response
    body: dict[str, Any] = response.get_json()
    status = response.status_code
    values = {
        "title": _TITLES.get(status, "Something went wrong"),
        "reasons": [body["message"]] if isinstance(error, InOtherWorkspace) else _describe(body),
        "back": find_way_back(),
        # which is of use to who reads the server's log
        "request_id": body.get("requestId", "") if status >= 500 else "",
    }
    try:
        page = render("error.html", **values)
    except (DBAPIError, TimeoutError, Unauthorized):  # what the layout reads is away since the request began
        g.pop("principal", None)
        page = render("error.html", **values)
    page.status_code = status
    for name in ("Allow", "Retry-After"):
        if name in response.headers:
            page.headers[name] = response.headers[name]
    return page


def _describe(body: Mapping[str, Any]) -> list[str]:
    """Return the message of an error in the words of the pages, as a sentence for each field."""
    noun = _NOUNS.get(body["code"])
    if noun is not None:
        return [f"There is no such {noun}, or it is in a workspace that you are no member of."]
    return list_sentences(body.get("details") or {}) or [str(body["message"])]


def _find_page_there(error: InOtherWorkspace) -> str | None:
    """Return the URL of this page in the workspace that has what the page is about; None if only a part is there."""
    parameters = request.args.to_dict(flat=False)
    of_path = request.view_args or {}
    of_query = (each for values in parameters.values() for value in values for each in value.split(","))
    named = set(of_path.values()) or {each for each in of_query if _is_id(each)}
    if not named or not named <= error.resource_ids:
        return None
    return url_for(str(request.endpoint), **{**parameters, **of_path, "workspace": error.workspace})


def _is_id(text: str) -> bool:
    return any(ids.is_well_formed(kind, text) for kind in ids.KINDS)


def _lead_to_sign_in() -> AnyResponse:
    """Redirect to the sign-in, and from there back to the page that was asked for."""
    is_readable = request.method in ("GET", "HEAD")
    own_path = request.script_root + request.full_path.removesuffix("?") if is_readable else None
    target = url_for("sign_in.show_sign_in", next=own_path)
    if request.headers.get("HX-Request"):  # only the whole page can change
        return Response(headers={"HX-Redirect": target})
    return redirect(target, 303)
