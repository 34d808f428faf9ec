"""Forms that would take seconds to parse are refused before that, also those of strangers."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.databases import only_sqlite

pytestmark = only_sqlite
_FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.mark.parametrize("path", ["/app/sign-in", "/app/sign-up", "/app/invitation", "/app/password-reset"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"a=1&" * 10_000, "A form may have at most 10,000 fields."),
        (b"&" * 1_000_000, "A form may have at most 10,000 fields."),
        (b"email=" + b"%ff" * 600_000, "The form is not UTF-8."),
        (b"email=\xff", "The form is not UTF-8."),
    ],
    ids=["many fields", "empty fields", "escaped bytes", "a byte"],
)
def test_a_form_with_very_many_fields_or_other_bytes_than_utf_8_is_400(
    client: FlaskClient, path: str, body: bytes, message: str
) -> None:
    answer = client.post(path, data=body, content_type=_FORM, headers={"Origin": "http://localhost"})
    assert (answer.status_code, message in answer.text) == (400, True)


def test_a_form_with_as_many_fields_as_pages_have_is_read(client: FlaskClient) -> None:
    body = b"a=%C3%A9&" * 9_998 + b"email=ada@example.com&password=wrong"
    answer = client.post("/app/sign-in", data=body, content_type=_FORM, headers={"Origin": "http://localhost"})
    assert (answer.status_code, 'value="ada@example.com"' in answer.text) == (401, True)
