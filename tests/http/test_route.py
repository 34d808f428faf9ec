"""Every route declares the permission that it needs."""

import pytest
from flask import Flask

from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.route import refuse_undeclared, route_of
from promptcrafter.permissions import Permission
from tests.support.databases import only_sqlite
from tests.support.people import Caller
from tests.support.routes import api_rules


def test_a_route_without_a_permission_cannot_be_declared() -> None:
    with pytest.raises(TypeError, match="permission"):
        Blueprint("careless", __name__).route("/careless")  # type: ignore[call-arg]


@only_sqlite
def test_an_application_with_a_view_that_declares_nothing_does_not_start(app: Flask) -> None:
    careless = Flask("careless", static_folder=None)
    careless.add_url_rule("/careless", "careless", lambda: "")
    with pytest.raises(RuntimeError, match="careless"):
        refuse_undeclared(careless)
    refuse_undeclared(app)


@only_sqlite
def test_only_the_listed_routes_are_public(app: Flask, client: Caller) -> None:
    public = {name for name, view in app.view_functions.items() if route_of(view).permission is Permission.PUBLIC}
    assert public == {
        *("auth.sign_up", "auth.log_in", "auth.reset_password"),
        *("status.get_index", "status.check_health", "status.check_readiness"),
        "langfuse-service.check_langfuse_health",
        *("docs.get_openapi", "docs.show_docs", "docs.get_static", "docs.get_favicon"),
        "home.find_nothing",
        *("sign_in.show_sign_in", "sign_in.sign_in", "sign_in.show_sign_up", "sign_in.sign_up"),
        *("sign_in.show_invitation", "sign_in.take_invitation", "sign_in.show_reset", "sign_in.take_reset"),
    }
    for rule in api_rules(app):
        if rule.endpoint not in public:
            path = rule.rule.replace("<", "").replace(">", "")
            method = next(iter((rule.methods or set()) - {"HEAD", "OPTIONS"}))
            assert client.open(path, method=method).status_code == 401, rule


@only_sqlite
def test_reading_needs_no_permission_to_write(app: Flask) -> None:
    for rule in api_rules(app):  # a page that asks before it changes something is for those who may
        permission = route_of(app.view_functions[rule.endpoint]).permission
        if permission in (Permission.WRITE, Permission.INGEST):
            assert not (rule.methods or set()) & {"GET", "HEAD"}, rule
