"""Errors of pages, whatever the database can still do for them."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError, TimeoutError

from promptcrafter.problems import Unauthorized
from promptcrafter.workspaces import store
from tests.support.people import Person
from tests.support.visitors import Visitor, text_of

LOST = OperationalError("", {}, Exception("lost"), connection_invalidated=True)


@pytest.mark.parametrize("error", [LOST, TimeoutError("no free connection")])
def test_a_page_whose_database_goes_away_while_it_is_made_says_so(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    visitor = Visitor(app, ada)

    def lose_database(_principal: Any) -> Any:
        raise error

    monkeypatch.setattr(store, "get_frame", lose_database)
    page = visitor.get("/settings/transfer")
    assert (page.status_code, page.mimetype, page.headers["Retry-After"]) == (503, "text/html", "1")
    assert "Not available at the moment The database is busy or away. Try again." in text_of(page)
    monkeypatch.undo()
    assert visitor.get("/settings/transfer").status_code == 200


def test_an_error_of_an_account_that_is_deleted_meanwhile_is_shown_without_it(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = Visitor(app, ada)

    def find_no_account(_principal: Any) -> Any:
        raise Unauthorized

    monkeypatch.setattr(store, "get_frame", find_no_account)
    page = visitor.get("/prompts/prompt_01jz8x4m5n6p7q8r9s0t1v2w3x")
    assert (page.status_code, "Not found" in text_of(page)) == (404, True)
