"""The routes of the application, by kind."""

from collections.abc import Iterator

from flask import Flask
from werkzeug.routing import Rule

from promptcrafter.http.route import route_of


def api_rules(app: Flask) -> Iterator[Rule]:
    """Yield the rules of all routes that are no pages for a browser."""
    return (rule for rule in app.url_map.iter_rules() if not route_of(app.view_functions[rule.endpoint]).is_page)


def page_rules(app: Flask) -> Iterator[Rule]:
    """Yield the rules of all pages for a browser."""
    return (rule for rule in app.url_map.iter_rules() if route_of(app.view_functions[rule.endpoint]).is_page)
