"""The texts of errors about fields are ours: each continues a sentence that begins with the name of the field."""

from flask import Flask
from marshmallow import fields

from tests.contracts.test_bounds import each_field, request_schemas
from tests.support.databases import only_sqlite
from tests.support.people import Person

# Of marshmallow's own, which end with a full stop of their own; `invalid_utf8` is about bytes, which JSON has not
CHECKED = ("required", "null", "invalid", "type")


@only_sqlite
def test_no_field_of_a_request_has_a_text_of_the_library(app: Flask) -> None:
    foreign = {
        (path, key, text)
        for schema in request_schemas(app)
        for path, field in each_field(schema)
        for key, text in field.error_messages.items()
        if key in CHECKED and not (isinstance(field, fields.Nested) and key == "type") and str(text)[:1].isupper()
    }
    assert foreign == set()


@only_sqlite
def test_what_is_no_list_is_said_in_our_words(ada: Person) -> None:
    ada.post("/workspaces", {"name": "Team", "slug": "team"})
    texts = [
        ada.patch("/workspaces/team", {"protectedLabels": "production"}).json["message"],
        ada.patch("/workspaces/team", {"protectedLabels": None}).json["message"],
        ada.post("/auth/keys", {"name": "k", "scopes": "read"}).json["message"],
    ]
    assert texts == ["protectedLabels must be an array.", "protectedLabels is required", "scopes must be an array."]
