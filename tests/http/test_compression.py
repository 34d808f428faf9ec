"""Responses compressed with gzip; tests/integration/test_compression.py asks a real server for them."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, Response

from promptcrafter.http.blueprint import Blueprint
from promptcrafter.permissions import Permission
from tests.support.databases import only_sqlite
from tests.support.people import Caller, Person, sign_up

pytestmark = only_sqlite
GZIP = {"Accept-Encoding": "gzip"}
TEXT = "a text that is repeated " * 100


def unpack(answer: Any) -> bytes:
    assert answer.headers["Content-Encoding"] == "gzip"
    return gzip.decompress(answer.data)


@pytest.fixture
def log(ada: Person) -> dict[str, Any]:
    return ada.log(ada.prompt(content=TEXT), output=TEXT)


def test_every_kind_of_text_is_compressed_and_the_same_when_decompressed(ada: Person, log: dict[str, Any]) -> None:
    prompt = log["promptId"]
    for accept in ("application/json", "application/x-ndjson", "text/csv"):
        for path in ("/logs", "/prompts?per_page=1", f"/logs/{log['_id']}", f"/prompts/{prompt}", "/search?q=repeated"):
            plain = ada.get(path, headers={"Accept": accept})
            answer = ada.get(path, headers={"Accept": accept, **GZIP})
            assert unpack(answer) == plain.data
            assert answer.headers["Content-Type"] == plain.headers["Content-Type"]
            assert int(answer.headers["Content-Length"]) == len(answer.data) < len(plain.data) / 5
    for path in ("/openapi.json", "/static/swagger-ui/swagger-ui.css", "/static/swagger-ui/swagger-ui-bundle.js"):
        assert unpack(ada.get(path, headers=GZIP)) == ada.get(path).data
    other = ada.log({"_id": prompt}, output=TEXT + "and changed")
    compared = ada.get(f"/compare?logs={log['_id']},{other['_id']}", headers={"Accept": "text/markdown", **GZIP})
    assert compared.mimetype == "text/markdown"
    assert unpack(compared)
    assert unpack(ada.get("/export", headers=GZIP)) == ada.get("/export").data


def test_a_long_list_is_compressed_while_it_is_streamed(ada: Person) -> None:
    prompt = ada.prompt()
    for letter in "abc":
        ada.log(prompt, output=letter * 100_000)
    plain, answer = ada.get("/logs"), ada.get("/logs", headers=GZIP)
    assert unpack(answer) == plain.data
    assert "Content-Length" not in answer.headers


def serve(make_app: Any, config: Any, make_response: Callable[[str], Response]) -> Flask:
    """Return an application with a public view that returns `make_response(name)` for `/views/<name>`."""
    app: Flask = make_app(config)
    views = Blueprint("views", __name__)
    views.route("/views/<name>", permission=Permission.PUBLIC)(make_response)
    app.register_blueprint(views)
    return app


def test_each_piece_can_be_read_before_the_next_one_is_made(make_app: Any, config: Any) -> None:
    made: list[int] = []

    def make() -> Iterator[str]:
        for number in range(3):
            made.append(number)
            yield f"piece {number} "

    app = serve(make_app, config, lambda name: Response(make(), mimetype="text/plain"))
    answer = app.test_client().get("/views/stream", headers=GZIP)
    decompressor, read = zlib.decompressobj(31), []
    for piece in answer.iter_encoded():
        read.append((decompressor.decompress(piece), len(made)))
    assert read == [(b"piece 0 ", 1), (b"piece 1 ", 2), (b"piece 2 ", 3), (b"", 3)]
    assert decompressor.eof


def test_a_stream_that_fails_has_no_end(make_app: Any, config: Any) -> None:
    def fail() -> Iterator[str]:
        yield "[1"
        raise ZeroDivisionError

    app = serve(make_app, config, lambda name: Response(fail(), mimetype="text/plain"))
    pieces = app.test_client().get("/views/stream", headers=GZIP).iter_encoded()
    decompressor = zlib.decompressobj(31)
    assert decompressor.decompress(next(pieces)) == b"[1"
    with pytest.raises(ZeroDivisionError):
        next(pieces)
    assert not decompressor.eof


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("gzip;q=0.001", True),
        ("*", True),
        ("*;q=0.5", True),
        ("deflate, *", True),
        ("identity;q=0, *", True),
        ("identity;q=0.5, gzip", True),
        ("gzip, *;q=0", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0, *", False),
        ("x-gzip;q=0, *;q=0", False),
        ("*;q=0", False),
        ("identity;q=0", False),
        ("identity, gzip;q=0.5", False),
        ("gzip;q=0.5, *", False),
        ("deflate, br", False),
        ("gzip;q=2", False),
        ("gzip;q=no", False),
        ("gzipped", False),
        (";;,,=", False),
    ],
)
def test_the_client_decides(ada: Person, log: dict[str, Any], accepted: str, is_compressed: bool) -> None:
    answer = ada.get("/logs", headers={"Accept-Encoding": accepted})
    assert (answer.status_code, answer.headers.get("Content-Encoding")) == (200, "gzip" if is_compressed else None)
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    assert TEXT.encode() in (unpack(answer) if is_compressed else answer.data)


def test_a_short_response_is_sent_as_it_is_unless_the_client_refuses_that(ada: Person) -> None:
    answer = ada.get("/auth/me", headers=GZIP)
    assert answer.json["_id"] == ada.id
    assert {"Content-Encoding", "Vary"}.isdisjoint(answer.headers.keys())
    assert ada.id.encode() in unpack(ada.get("/auth/me", headers={"Accept-Encoding": "gzip, identity;q=0"}))


def test_a_response_of_a_kibibyte_is_compressed_and_a_shorter_one_is_not(ada: Person) -> None:
    prompt = ada.prompt()
    rest = len(ada.get(f"/prompts/{prompt['_id']}").data) - len(prompt["content"])
    for size, coding in ((1023, None), (1024, "gzip")):
        ada.patch(f"/prompts/{prompt['_id']}", {"content": "x" * (size - rest)})
        answer = ada.get(f"/prompts/{prompt['_id']}")
        assert len(answer.data) == size
        compressed = ada.get(f"/prompts/{prompt['_id']}", headers=GZIP)
        assert compressed.headers.get("Content-Encoding") == coding


def test_errors_are_compressed_like_other_responses(ada: Person, client: Caller) -> None:
    body = {"slug": "e", "name": "n", "variants": [{"key": str(number)} for number in range(90)]}
    plain, answer = ada.post("/experiments", body), ada.post("/experiments", body, headers=GZIP)
    assert (plain.status_code, answer.status_code) == (400, 400)
    assert len(unpack(answer)) == len(plain.data) > 1024
    assert "Content-Encoding" not in client.get("/nope", headers=GZIP).headers


def test_responses_with_a_new_secret_are_never_compressed(client: Caller) -> None:
    """An attacker who could put text into them might guess the secret from their size."""
    headers = {"Accept-Encoding": "gzip, identity;q=0"}
    account = {"name": "a" * 90, "email": "ada@example.com", "password": "the password of ada"}
    signed_up = client.post("/auth/signup", account, headers=headers)
    logged_in = client.post("/auth/login", account, headers=headers)
    person = Caller(client.client, {"Authorization": f"Bearer {logged_in.json['token']}"})
    key = person.post("/auth/keys", {"name": "a" * 90}, headers=headers)
    for answer, status in ((signed_up, 201), (logged_in, 200), (key, 201)):
        assert answer.status_code == status
        assert {"Content-Encoding", "Vary"}.isdisjoint(answer.headers.keys())
    assert unpack(person.get("/auth/keys", headers=headers))


def test_responses_without_a_body_are_left_alone(ada: Person, log: dict[str, Any]) -> None:
    headers = {"Accept-Encoding": "gzip, identity;q=0"}
    answer = ada.delete(f"/logs/{log['_id']}", headers=headers)
    assert (answer.status_code, answer.data) == (204, b"")
    assert {"Content-Encoding", "Vary"}.isdisjoint(answer.headers.keys())
    options = ada.options("/logs", headers=headers)
    assert (options.status_code, options.data, "Content-Encoding" in options.headers) == (200, b"", False)


def test_a_head_request_has_the_headers_of_the_get(ada: Person, log: dict[str, Any]) -> None:
    for path in ("/logs", "/prompts", f"/prompts/{log['promptId']}", "/openapi.json", "/auth/me", "/static/docs.js"):
        for headers in (GZIP, {}):
            head, get = ada.open(path, method="HEAD", headers=headers), ada.get(path, headers=headers)
            assert (head.status_code, head.data) == (200, b"")
            for name in ("Content-Type", "Content-Encoding", "Content-Length", "ETag", "Vary"):
                assert head.headers.get(name) == get.headers.get(name), (path, name)


def test_no_transform_is_respected(ada: Person, log: dict[str, Any]) -> None:
    answer = ada.get("/logs", headers={**GZIP, "Cache-Control": "no-transform"})
    assert "Content-Encoding" not in answer.headers


def test_a_view_that_encodes_its_response_or_sends_no_text_is_left_alone(make_app: Any, config: Any) -> None:
    bodies = {
        "encoded": Response(gzip.compress(TEXT.encode()), mimetype="text/plain", headers={"Content-Encoding": "gzip"}),
        "image": Response(b"x" * 5000, mimetype="image/png"),
        "fixed": Response(TEXT, mimetype="text/plain", headers={"Cache-Control": "max-age=1, no-transform"}),
        "any": Response(TEXT, mimetype="text/plain", headers={"Vary": "*"}),
    }

    client = Caller(serve(make_app, config, lambda name: bodies[name]).test_client())
    for name in ("encoded", "image", "fixed"):
        answer = client.get(f"/views/{name}", headers=GZIP)
        assert (answer.data, "Vary" in answer.headers) == (bodies[name].data, False)
    assert (client.get("/views/any", headers=GZIP)).headers["Vary"] == "*"


def test_a_range_of_a_file_is_of_its_uncompressed_form(client: Caller) -> None:
    path = "/static/swagger-ui/swagger-ui.css"
    whole = client.get(path)
    part = client.get(path, headers={**GZIP, "Range": "bytes=100-4999"})
    assert (part.status_code, part.data, "Content-Encoding" in part.headers) == (206, whole.data[100:5000], False)
    compressed = client.get(path, headers=GZIP)
    assert "Accept-Ranges" not in compressed.headers
    resumed = {**GZIP, "Range": "bytes=100-4999", "If-Range": compressed.headers["ETag"]}
    assert client.get(path, headers=resumed).status_code == 200


def test_the_tag_of_the_compressed_form_has_an_end_of_its_own(ada: Person, log: dict[str, Any]) -> None:
    path = f"/prompts/{log['promptId']}"
    tag = ada.get(path).headers["ETag"]
    own = ada.get(path, headers=GZIP).headers["ETag"]
    assert own == tag[:-1] + '-gzip"'
    short = f"/prompts/{ada.prompt()['_id']}"
    assert ada.get(short, headers=GZIP).headers["ETag"] == ada.get(short).headers["ETag"]


def test_if_none_match_takes_the_tags_of_both_forms(ada: Person, client: Caller, log: dict[str, Any]) -> None:
    for path in (f"/prompts/{log['promptId']}", "/static/swagger-ui/swagger-ui.css"):
        tag, own = (ada.get(path, headers=headers).headers["ETag"] for headers in ({}, GZIP))
        for sent in (own, tag, f'"x", {own}', f"W/{own}"):
            for method in ("GET", "HEAD"):
                answer = ada.open(path, method=method, headers={**GZIP, "If-None-Match": sent})
                assert (answer.status_code, answer.data) == (304, b""), sent
                assert answer.headers["ETag"] == (tag if sent == tag else own)
                assert "Accept-Encoding" in answer.headers["Vary"]
                assert "Content-Encoding" not in answer.headers
        assert ada.get(path, headers={**GZIP, "If-None-Match": '"x-gzip"'}).status_code == 200
        # a cache that holds the compressed form has nothing for a client that does not take it
        assert ada.get(path, headers={"If-None-Match": own}).status_code == 200
        assert ada.get(path, headers={"If-None-Match": tag}).headers["ETag"] == tag


def test_if_match_takes_the_tags_of_both_forms(ada: Person, log: dict[str, Any]) -> None:
    path = f"/prompts/{log['promptId']}"
    old = ada.get(path, headers=GZIP).headers["ETag"]
    for headers in ({}, GZIP):
        changed = ada.patch(path, {"title": "Another title"}, headers={"If-Match": old, **headers})
        assert changed.status_code == 200
        refused = ada.patch(path, {"title": "A third title"}, headers={"If-Match": '"x-gzip"', **headers})
        assert refused.status_code == 412
        old = changed.headers["ETag"]
        assert old.endswith('-gzip"') is (headers == GZIP)
        assert ada.patch(path, {"tags": [str(headers)]}, headers={"If-Match": old}).status_code == 200
        assert ada.patch(path, {"tags": []}, headers={"If-Match": old}).status_code == 412
        old = ada.get(path, headers=GZIP).headers["ETag"]
    assert ada.delete(path, headers={"If-Match": old}).status_code == 204


def test_a_repeated_request_is_answered_in_the_coding_that_it_accepts(ada: Person) -> None:
    body = {"promptId": ada.prompt()["_id"], "output": TEXT, "modelUsed": "m"}
    key = {"Idempotency-Key": "k"}
    first = ada.post("/logs", body, headers={**key, **GZIP})
    again, plain = ada.post("/logs", body, headers={**key, **GZIP}), ada.post("/logs", body, headers=key)
    assert unpack(first) == unpack(again) == plain.data
    for answer in (again, plain):
        assert (answer.status_code, answer.headers["Idempotency-Replayed"]) == (201, "true")
        assert answer.headers["Location"] == first.headers["Location"]
        assert int(answer.headers["Content-Length"]) == len(answer.data)


def test_metrics_are_compressed(with_settings: Callable[..., Caller]) -> None:
    ada = sign_up(with_settings(metrics=True), "ada")
    assert b"promptcrafter_http_requests_total" in unpack(ada.get("/metrics", headers=GZIP))


def test_clients_of_dialects_get_compressed_responses(ada: Person) -> None:
    prompt = ada.prompt(slug="long", content=TEXT)
    ada.open(f"/prompts/{prompt['_id']}/labels/production", method="PUT", json={"version": 1})
    answer = ada.get("/basalt/prompts/long", headers=GZIP)
    assert TEXT.strip().encode() in unpack(answer)
