"""Lists on pages: one page of rows with the cursor of the next, and the same list as JSON or CSV.

They are the lists of the API: the same selects, orders and filters.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Response, current_app, g, request, url_for
from marshmallow import Schema
from sqlalchemy import Select, SQLColumnExpression

from promptcrafter.database.keyset import Order, write_cursor
from promptcrafter.database.session import session
from promptcrafter.http import lists
from promptcrafter.http.formats import WRITERS
from promptcrafter.http.headers import WORKSPACE
from promptcrafter.http.route import route_of
from promptcrafter.http.row_serializer import RowSerializer
from promptcrafter.workspaces.principal import personal_workspace_id

PER_PAGE = 50
_PAGING = ("cursor", "per_page")
_NEW_LINE = " \\\n  "  # of a command that goes on there
_MEDIA_TYPES = {"json": "application/json", "csv": "text/csv", "ndjson": "application/x-ndjson"}
assert set(_MEDIA_TYPES.values()) <= set(WRITERS)


@dataclass(frozen=True)
class PageOfRows:
    """The rows of a page, and the URL of the next one if there is one."""

    rows: Sequence[Any]
    next_url: str | None


def read_page(
    select: Select[Any], order: Order | Sequence[SQLColumnExpression[Any]], query: Mapping[str, Any]
) -> PageOfRows:
    """Return the objects of a page of the list, in its order."""
    order = order if isinstance(order, Order) else Order(order)
    per_page = min(query.get("per_page", PER_PAGE), PER_PAGE)
    limited, columns = order.page(order.sort(select), query.get("cursor"), per_page + 1)
    rows = session.execute(limited.add_columns(*columns)).all()
    next_url = None
    if len(rows) > per_page:
        cursor = write_cursor(rows[per_page - 1][-len(columns) :], columns)
        next_url = link(cursor=cursor)
    return PageOfRows([row[0] for row in rows[:per_page]], next_url)


def link(**changes: Any) -> str:
    """Return the URL of this page with other parameters; None removes one, and so does every change the cursor."""
    parameters = request.args.to_dict(flat=False)
    parameters.pop("cursor", None)
    parameters |= {name: value for name, value in changes.items() if value is not None}
    for name, value in changes.items():
        if value is None:
            parameters.pop(name, None)
    return url_for(str(request.endpoint), **{**(request.view_args or {}), **parameters})


def find_way_back(path: str | None = None) -> str | None:
    """Return the URL of the page that led here, or None: only of another page, and with `path` only of that path."""
    try:
        page = urlsplit(request.referrer or "")
    except ValueError:
        return None
    root = f"{request.script_root}/app"
    if page.netloc != request.host or not f"{page.path}/".startswith(f"{root}/"):  # a proxy may change the scheme
        return None
    target = f"{page.path}?{page.query}".removesuffix("?")
    is_other = target != request.script_root + request.full_path.removesuffix("?")
    return target if is_other and path in (None, page.path) else None


def find_outputs_list() -> str:
    """Return the URL of the list of outputs with its filters, if that led here, else of the list of all."""
    target = url_for("outputs.list_outputs")
    return find_way_back(target) or target


def write_curl(endpoint: str, **defaults: str) -> str:
    """Return the command that asks the API for the list of this page; `endpoint` is that of its route.

    `defaults` are parameters that the page has by itself, where the API has others.

    It has the parameters of the page that the route takes, and no page: it answers with the whole list, as the
    downloads do. Everything but letters and digits is percent-encoded, so that no shell expands anything.
    """
    route = route_of(current_app.view_functions[endpoint])
    parameters = [
        (name, value)
        for name, values in request.args.lists()
        if route.takes_parameter(name) and name not in _PAGING
        for value in values
    ]
    parameters += [(name, value) for name, value in defaults.items() if name not in request.args]
    query = f"?{urlencode(parameters)}" if parameters else ""
    is_expecting = current_app.url_map.is_endpoint_expecting
    names = {name: value for name, value in (request.view_args or {}).items() if is_expecting(endpoint, name)}
    return f'curl {_write_headers()} "{url_for(endpoint, _external=True, **names)}{query}"'


def write_post(endpoint: str, body: str, **names: str) -> str:
    """Return the command that sends a body to the API; `names` are those in the path of the route `endpoint`.

    `body` is written as a word of a shell, so that it can have variables in it.
    """
    url = url_for(endpoint, _external=True, **names)
    options = [_write_headers(_NEW_LINE), '-H "content-type: application/json"', f"-d {body}"]
    return _NEW_LINE.join([f'curl -sS "{url}"', *options])


def _write_headers(between: str = " ") -> str:
    """Return the options of a command that authenticate it, for the workspace of the page."""
    workspace = g.principal.current_id
    # a key that is bound to no workspace asks the personal one where no header says otherwise
    header = (
        "" if workspace == personal_workspace_id(g.principal.user_id) else f'{between}-H "{WORKSPACE}: {workspace}"'
    )
    return f'-H "x-api-key: $KEY"{header}'


def download(
    kind: str,
    select: Select[Any],
    order: Order | Sequence[SQLColumnExpression[Any]],
    serializer: Schema | RowSerializer,
    query: dict[str, Any],
) -> Response:
    """Return the whole list as the API returns it, as a file of this kind: `json`, `csv` or `ndjson`."""
    whole = {name: value for name, value in query.items() if name not in _PAGING}
    return name_file(kind, lambda: lists.list_response(select, order, serializer, whole))


def name_file(kind: str, respond: Callable[[], Response]) -> Response:
    """Return a response of the API in the media type of this kind, as a file that has the name of the page."""
    request.environ["HTTP_ACCEPT"] = _MEDIA_TYPES[kind]
    response = respond()
    name = request.path.rstrip("/").rpartition("/")[2]
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    return response
