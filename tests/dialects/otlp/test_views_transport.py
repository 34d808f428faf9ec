"""OTLP over HTTP: encodings, compression, sizes, keys, and the errors that exporters read."""

import base64
import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from sqlalchemy.exc import OperationalError

from config import Config
from promptcrafter.dialects.otlp import views
from promptcrafter.dialects.otlp.decoding import ITEM_VALUES_MAX
from promptcrafter.dialects.otlp.signals import JSON, PREFIXES, PROTOBUF
from tests.support import otlp
from tests.support.databases import only_sqlite
from tests.support.environment import ROOT
from tests.support.otlp import assert_status, encode, export, make_span, to_json
from tests.support.people import Answer, Caller, Person, sign_up

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 3}
BOTH = pytest.mark.parametrize("media", [PROTOBUF, JSON])
PATHS = pytest.mark.parametrize("path", sorted(otlp.PATHS))


def body_of(media: str, *spans: Any) -> bytes:
    return encode(spans) if media == PROTOBUF else json.dumps(to_json(spans)).encode()


def send(caller: Caller, data: bytes, media: str = PROTOBUF, path: str = "/v1/traces", **headers: str) -> Answer:
    return caller.post(path, data=data, headers={"Content-Type": media, **headers})


def read_status(answer: Answer) -> tuple[int, str]:
    """Return code and message of a `google.rpc.Status`."""
    if answer.mimetype == JSON:
        return answer.json["code"], answer.json["message"]
    assert answer.mimetype == PROTOBUF
    fields = ExportTraceServiceResponse()  # its partial success has the same numbers: a number and a text
    fields.partial_success.MergeFromString(answer.data)
    return fields.partial_success.rejected_spans, fields.partial_success.error_message


def logs_of(person: Person) -> list[dict[str, Any]]:
    return list(person.get("/logs").json)


@BOTH
@pytest.mark.parametrize("prefix", PREFIXES)
def test_spans_are_stored_and_answered_in_their_encoding(ada: Person, media: str, prefix: str) -> None:
    answer = send(ada, body_of(media, make_span(CHAT)), f"{media}; charset=utf-8", f"{prefix}/v1/traces")
    assert (answer.status_code, answer.mimetype) == (200, media)
    assert answer.data == (b"" if media == PROTOBUF else b"{}")
    assert [log["modelUsed"] for log in logs_of(ada)] == ["gpt-4o"]


@PATHS
@BOTH
def test_an_empty_request_and_an_empty_body_are_successes(ada: Person, media: str, path: str) -> None:
    for data in (b"", body_of(media)):
        answer = send(ada, data, media, path)
        assert (answer.status_code, answer.mimetype) == (200, media)
        assert answer.data == (b"" if media == PROTOBUF else b"{}")


@BOTH
def test_the_response_says_which_rules_spans_break_and_how_many(ada: Person, media: str) -> None:
    bad = [make_span(CHAT, trace_id="00" * 16), make_span(CHAT, trace_id="00" * 16), make_span(CHAT, span_id="")]
    bad[2]["span_id"] = ""
    unrelated = make_span({"http.request.method": "GET"})
    answer = send(ada, body_of(media, make_span(CHAT), *bad, unrelated, make_span(CHAT)), media)
    assert answer.status_code == 200
    response = ExportTraceServiceResponse()
    if media == PROTOBUF:
        response.MergeFromString(answer.data)
    else:
        json_format.Parse(answer.data, response)
    assert response.partial_success.rejected_spans == 3
    assert response.partial_success.error_message == (
        "2 rejected: trace_id must have 16 bytes that are not all 0, in JSON as 32 hex digits; "
        "1 rejected: span_id must have 8 bytes that are not all 0, in JSON as 16 hex digits"
    )
    assert len(logs_of(ada)) == 2


def test_one_bad_span_beside_500_good_ones_costs_only_itself(ada: Person) -> None:
    bad = make_span({f"a{number}": number for number in range(ITEM_VALUES_MAX + 1)})
    answer = export(ada, *(make_span(CHAT) for _ in range(250)), bad, *(make_span(CHAT) for _ in range(250)))
    assert b"an item must have at most 10,000 attributes" in answer.data
    assert len(logs_of(ada)) == 500


@BOTH
@pytest.mark.parametrize("coding", ["gzip", "deflate", "x-gzip", "identity"])
def test_bodies_may_be_compressed(ada: Person, media: str, coding: str) -> None:
    compressors: dict[str, Callable[[bytes], bytes]] = {"deflate": zlib.compress, "identity": bytes}
    data = compressors.get(coding, gzip.compress)(body_of(media, make_span(CHAT)))
    answer = send(ada, data, media, **{"Content-Encoding": coding})
    assert (answer.status_code, len(logs_of(ada))) == (200, 1)


@only_sqlite
@BOTH
@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "deflate, gzip"])
def test_other_codings_are_415(ada: Person, media: str, coding: str) -> None:
    answer = send(ada, body_of(media, make_span(CHAT)), media, **{"Content-Encoding": coding})
    assert (answer.status_code, answer.mimetype) == (415, media)
    assert read_status(answer) == (3, "Content-Encoding must be gzip or deflate or identity")
    assert answer.headers["Accept-Encoding"] == "gzip, deflate"


@only_sqlite
@pytest.mark.parametrize("media", ["text/plain", "application/protobuf", "application/x-ndjson", ""])
def test_other_media_types_are_415_in_json(ada: Person, media: str) -> None:
    answer = send(ada, b"{}", media)
    assert_status(answer, 415, "Content-Type must be application/x-protobuf or application/json")
    assert answer.json["code"] == 3


@only_sqlite
@BOTH
@pytest.mark.parametrize(
    ("coding", "data", "message"),
    [
        ("gzip", b"no gzip", "The body is not valid gzip data: it is damaged, or followed by something else."),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-9], "The body is not valid gzip data: it ends too early."),
        ("deflate", zlib.compress(b"{}")[:-1], "The body is not valid deflate data: it ends too early."),
        (
            "deflate",
            zlib.compress(b"{}", wbits=-15),
            "The body is not valid deflate data: it is damaged, or followed by something else.",
        ),
    ],
)
def test_damaged_compressed_bodies_are_400(ada: Person, media: str, coding: str, data: bytes, message: str) -> None:
    answer = send(ada, data, media, **{"Content-Encoding": coding})
    assert (answer.status_code, answer.mimetype, read_status(answer)) == (400, media, (3, message))


@only_sqlite
@PATHS
@BOTH
def test_the_size_is_limited_before_and_after_decompression(
    with_settings: Callable[..., Caller], media: str, path: str
) -> None:
    ada = sign_up(with_settings(max_otlp_bytes=100_000), "ada")
    bomb = b"\x0a\x00" * 50_000 + b"\x0a\x00" if media == PROTOBUF else b" " * 100_001
    answer = send(ada, bomb, media, path)
    message = f"The request body may have at most 100,000 bytes; it is {len(bomb):,}."
    assert (answer.status_code, answer.mimetype, read_status(answer)) == (413, media, (8, message))
    for coding, compress in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        answer = send(ada, compress(bomb), media, path, **{"Content-Encoding": coding})
        message = "The decompressed request body may have at most 100,000 bytes; it is more."
        assert (answer.status_code, read_status(answer)) == (413, (8, message))
    assert ada.get("/limits").json["otlpBytes"] == 100_000


def test_a_request_may_be_larger_than_other_bodies(ada: Person) -> None:
    spans = [make_span({**CHAT, "output.value": "x" * 500_000}) for _ in range(8)]
    assert len(encode(spans)) > ada.get("/limits").json["bodyBytes"]
    assert export(ada, *spans).status_code == 200
    assert len(logs_of(ada)) == 8


def basic(password: str, user: str = "pk-lf-any") -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


@only_sqlite
@PATHS
def test_a_key_is_accepted_as_bearer_token_password_or_api_key(ada: Person, path: str) -> None:
    key = ada.post("/auth/keys", {"name": "k", "scopes": ["ingest"]}).json["key"]
    for headers in ({"Authorization": f"Bearer {key}"}, {"x-api-key": key}, basic(key), basic(key, "")):
        assert send(Caller(ada.client, headers), b"", path=path).status_code == 200


@only_sqlite
@PATHS
@BOTH
def test_no_or_a_wrong_key_is_401_and_names_the_schemes(ada: Person, client: Caller, path: str, media: str) -> None:
    password = "authorization has a password that is no API key, or one that is expired or revoked"
    api_key = "x-api-key is no API key, or one that is expired or revoked"
    for headers, detail in (
        ({}, ""),
        (basic("pc_wrong"), f"; {password}"),
        ({"x-api-key": "pc_wrong"}, f"; {api_key}"),
    ):
        answer = send(Caller(client.client, headers), b"", media, path)
        assert (answer.status_code, answer.mimetype) == (401, media)
        assert read_status(answer) == (16, f"Invalid or missing bearer token{detail}")
        assert answer.headers["WWW-Authenticate"] == 'Bearer, Basic realm="PromptCrafter", charset="UTF-8"'


@only_sqlite
def test_a_password_is_no_key_on_other_routes(ada: Person, client: Caller) -> None:
    key = ada.post("/auth/keys", {"name": "k"}).json["key"]
    answer = Caller(client.client, basic(key)).get("/prompts")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


@only_sqlite
@BOTH
def test_a_key_of_another_scope_is_403_and_an_unknown_workspace_404(ada: Person, media: str) -> None:
    key = ada.post("/auth/keys", {"name": "k", "scopes": ["read"]}).json["key"]
    answer = send(Caller(ada.client, {"x-api-key": key}), b"", media)
    assert (answer.status_code, read_status(answer)[0]) == (403, 7)
    answer = send(ada, b"", media, **{"X-Workspace": "nowhere"})
    assert (answer.status_code, read_status(answer)) == (404, (5, "Workspace not found"))


def test_the_header_chooses_the_workspace(ada: Person) -> None:
    team = ada.post("/workspaces", {"name": "Team"}).json["_id"]
    sent = send(ada, encode([make_span(CHAT)]), **{"X-Workspace": team})
    assert sent.status_code == 200
    assert logs_of(ada) == []
    assert len(ada.get("/logs", headers={"X-Workspace": team}).json) == 1


@only_sqlite
@PATHS
@pytest.mark.parametrize("query", ["api-version=2", "a=1&a=2&strict=maybe", "workspace=x&per_page=0", "%ff=%00"])
def test_a_query_string_is_ignored(ada: Person, path: str, query: str) -> None:
    answer = send(ada, b"{}", JSON, f"{path}?{query}")
    assert (answer.status_code, answer.data) == (200, b"{}")


@PATHS
def test_other_methods_are_405_and_options_are_answered(ada: Person, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = ada.open(path, method=method, content_type=PROTOBUF)
        assert (answer.status_code, read_status(answer)) == (405, (12, "Method not allowed"))
        assert set(answer.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}
    assert (ada.open(path, method="HEAD").status_code, ada.client.options(path).status_code) == (405, 200)


@only_sqlite
def test_a_page_of_another_origin_may_send_spans(with_settings: Callable[..., Caller]) -> None:
    client = with_settings(cors_origins="https://app.example.com")
    asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    assert client.client.options("/v1/traces", headers=asked).status_code == 204
    answer = send(client, b"", Origin="https://app.example.com")
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (401, "https://app.example.com")


@BOTH
def test_what_passes_is_503_with_the_time_to_wait(ada: Person, media: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def deadlock(*_: Any) -> None:
        raise OperationalError("INSERT", {}, psycopg.errors.DeadlockDetected())

    monkeypatch.setattr(views, "ingest", deadlock)
    answer = send(ada, body_of(media, make_span(CHAT)), media)
    assert (answer.status_code, answer.headers["Retry-After"], answer.mimetype) == (503, "1", media)
    assert read_status(answer) == (14, "The database is busy or away. Try again.")


@only_sqlite
def test_errors_in_json_are_compressed_after_they_are_written(ada: Person) -> None:
    answer = send(ada, b"[]", JSON)
    assert answer.status_code == 400
    # as small as it is, it must be compressed for this client
    compressed = send(ada, b"[]", JSON, **{"Accept-Encoding": "gzip, identity;q=0"})
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(compressed.data)) == answer.json


@only_sqlite
def test_items_are_counted_by_what_became_of_them(with_settings: Callable[..., Caller]) -> None:
    ada = sign_up(with_settings(metrics=True), "ada")
    spans = [make_span(CHAT), make_span({"gen_ai.operation.name": "execute_tool"}), make_span({"http.method": "GET"})]
    export(ada, *spans, make_span(CHAT, trace_id="00" * 16))
    points: dict[str, Any] = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"sum": {"dataPoints": [{}, {}]}}]}]}]}
    assert send(ada, json.dumps(points).encode(), JSON, "/v1/metrics").status_code == 200
    lines = ada.get("/metrics").text.splitlines()
    counted = {line.partition("{")[2] for line in lines if line.startswith("promptcrafter_otlp_items_total")}
    assert counted == {
        'item="span",outcome="log"} 1.0',
        'item="span",outcome="step"} 1.0',
        'item="span",outcome="unrelated"} 1.0',
        'item="span",outcome="rejected"} 1.0',
        *(f'item="log_record",outcome="{each}"}} 0.0' for each in ("event", "score", "unrelated", "rejected")),
        'item="metric_point",outcome="unrelated"} 2.0',
    }


@only_sqlite
def test_the_library_of_protobuf_is_loaded_by_the_first_request_that_needs_it_even_if_several_come_at_once(
    config: Config, ada: Person
) -> None:
    arguments = [sys.executable, "-c", FIRST_REQUESTS, config.database_url, config.jwt_secret_key, ada.token]
    ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout == "{200} False\n{200} True\n", ended.stderr


FIRST_REQUESTS = """
import sys
from concurrent.futures import ThreadPoolExecutor

from config import Config
from promptcrafter import create_app

_, url, secret, token = sys.argv
app = create_app(Config(database_url=url, jwt_secret_key=secret))
headers = {"Authorization": f"Bearer {token}"}


def send(media: str) -> int:
    body = b"{}" if media == "application/json" else b""
    return app.test_client().post("/v1/traces", data=body, headers=headers, content_type=media).status_code


for media in ("application/json", "application/x-protobuf"):
    with ThreadPoolExecutor(8) as pool:
        print(set(pool.map(send, [media] * 32)), any(name.startswith("google.protobuf") for name in sys.modules))
"""
