"""Request bodies compressed with gzip; tests/integration/test_compression.py sends them to a real server."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.idempotency.test_decorator import creating, place
from tests.support.databases import only_sqlite
from tests.support.errors import assert_error
from tests.support.people import Caller, Person, sign_up
from tests.support.transfer import counts, export

__all__ = ["place"]
pytestmark = only_sqlite
KEY = {"Idempotency-Key": "a-b-c"}
JSON, NDJSON = "application/json", "application/x-ndjson"
PROMPT = json.dumps({"title": "Title", "content": "c", "model": "m"}).encode()
WHOLE = gzip.compress(PROMPT)


def send(person: Caller, path: str, data: bytes, media: str = JSON, coding: str = "gzip", **headers: str) -> Any:
    sent = {"Content-Type": media, "Content-Encoding": coding, **headers}
    return person.post(path, data=data, headers=sent)


@pytest.mark.parametrize("path", [path for path, (body, _) in creating("{prompt}").items() if body])
def test_every_call_that_creates_takes_a_compressed_body(ada: Person, place: dict[str, str], path: str) -> None:
    body, listed = creating(place["prompt"])[path]
    before = len(ada.get(listed).json)
    answer = send(ada, path, gzip.compress(json.dumps(body).replace("{prompt}", place["prompt"]).encode()))
    assert answer.status_code in (200, 201), answer.text
    assert len(ada.get(listed).json) == before + 1


@pytest.mark.parametrize("path", creating("{prompt}"))
def test_the_same_request_compressed_and_plain_is_one_request(ada: Person, place: dict[str, str], path: str) -> None:
    body, _ = creating(place["prompt"])[path.format(**place)]
    plain = json.dumps(body).encode() if body else b""
    first = send(ada, path.format(**place), gzip.compress(plain), **KEY)
    assert first.status_code in (200, 201), first.text
    again = ada.post(path.format(**place), data=plain, headers={**KEY, "Content-Type": JSON})
    assert (again.data, again.headers.get("Idempotency-Replayed")) == (first.data, "true")
    other_level = send(ada, path.format(**place), gzip.compress(plain, 1), **KEY)
    assert (other_level.data, other_level.headers.get("Idempotency-Replayed")) == (first.data, "true")
    assert send(ada, path.format(**place), gzip.compress(plain + b" "), **KEY).status_code == 422


def test_changes_and_log_ins_take_a_compressed_body(ada: Person, client: Caller) -> None:
    path = f"/prompts/{ada.prompt()['_id']}"
    headers = {"Content-Type": JSON, "Content-Encoding": "gzip"}
    assert ada.patch(path, data=gzip.compress(b'{"title": "Another"}'), headers=headers).json["title"] == "Another"
    credentials = json.dumps({"email": ada.email, "password": ada.password}).encode()
    assert send(Caller(client.client), "/auth/login", gzip.compress(credentials)).status_code == 200


def test_wrong_passwords_in_compressed_bodies_count_for_their_account(with_settings: Callable[..., Caller]) -> None:
    client = with_settings(ratelimit_enabled=True, login_failure_rate="1 per hour")
    sign_up(client, "ada")
    wrong = gzip.compress(json.dumps({"email": "ada@example.com", "password": "a wrong password"}).encode())
    assert [send(client, "/auth/login", wrong).status_code for _ in range(2)] == [401, 429]


def test_a_compressed_batch_of_lines_and_a_compressed_import_are_taken(full_account: Person, ada: Person) -> None:
    prompt = ada.prompt()["_id"]
    line = json.dumps({"promptId": prompt, "output": "o", "modelUsed": "m"}).encode() + b"\n"
    results = send(ada, "/logs/batch", gzip.compress(line * 3 + b"{\n"), NDJSON).json["results"]
    assert [result["status"] for result in results] == [201, 201, 201, 400]
    assert sum(counts(send(full_account, "/import", gzip.compress(export(full_account)), NDJSON), "skipped")) > 0


@pytest.mark.parametrize("coding", ["gzip", "GZip", " gzip ", "x-gzip", "identity, gzip", "gzip,"])
def test_the_names_of_gzip_are_taken(ada: Person, coding: str) -> None:
    assert send(ada, "/prompts", WHOLE, coding=coding).status_code == 201


@pytest.mark.parametrize("coding", ["identity", "Identity", "", ",", "identity, identity"])
def test_no_coding_may_be_named(ada: Person, coding: str) -> None:
    assert send(ada, "/prompts", PROMPT, coding=coding).status_code == 201


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "compress", "gzip, gzip", "gzip, br", "nonsense", "*"])
def test_other_codings_are_415_and_the_answer_names_those_that_are_taken(ada: Person, coding: str) -> None:
    for path, media in (("/prompts", JSON), ("/logs/batch", NDJSON), ("/import", NDJSON), ("/monitor/log", JSON)):
        answer = send(ada, path, WHOLE, media, coding)
        message = "Content-Encoding must be gzip or identity"
        assert_error(answer, 415, "unsupported_content_encoding", message)
        assert answer.headers["Accept-Encoding"] == "gzip"
    assert ada.get("/prompts").json == []


DAMAGED = {
    "no gzip data": PROMPT,
    "cut off in the header": WHOLE[:5],
    "cut off in the data": WHOLE[:20],
    "cut off in the trailer": WHOLE[:-1],
    "without a trailer": WHOLE[:-8],
    "with a wrong checksum": WHOLE[:-8] + bytes(4) + WHOLE[-4:],
    "with a wrong length": WHOLE[:-4] + bytes(4),
    "followed by text": WHOLE + b"text",
    "followed by zeros": WHOLE + bytes(8),
    "followed by half a member": WHOLE + WHOLE[:12],
    "zlib data": zlib.compress(PROMPT),
    "bare deflate data": zlib.compress(PROMPT, wbits=-15),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=list(DAMAGED))
def test_damaged_gzip_data_is_400_and_nothing_is_stored(ada: Person, data: bytes) -> None:
    answer = send(ada, "/prompts", data)
    assert_error(answer, 400, "invalid_gzip")
    assert answer.json["message"].startswith("The body is not valid gzip data: it ")
    assert_error(send(ada, "/logs/batch", data, NDJSON), 400, "invalid_gzip")
    assert_error(send(ada, "/experiment/none/log", data), 400, "invalid_gzip")
    assert ada.get("/prompts").json == []


def test_a_damaged_import_is_400_and_stores_nothing(full_account: Person, other_account: Person) -> None:
    whole = gzip.compress(export(full_account))
    for data in (whole[:-100], whole[:-1], whole[:-8] + bytes(8), whole + b"x"):
        assert_error(send(other_account, "/import", data, NDJSON), 400, "invalid_gzip")
    assert other_account.get("/prompts").json == []
    assert send(other_account, "/import", whole, NDJSON).status_code == 200


def test_several_members_are_one_body(ada: Person) -> None:
    members = [gzip.compress(PROMPT[:10]), gzip.compress(b""), gzip.compress(PROMPT[10:], 0)]
    assert send(ada, "/prompts", b"".join(members)).status_code == 201
    assert send(ada, "/prompts", gzip.compress(b"") * 3000 + WHOLE).status_code == 201


def test_an_empty_body_is_an_empty_body(ada: Person) -> None:
    message = ada.post("/prompts", data=b"", headers={"Content-Type": JSON}).json["message"]
    for data in (b"", gzip.compress(b"")):
        assert_error(send(ada, "/prompts", data), 400, "invalid_json", message)


def test_what_is_checked_before_the_body_is_checked_first(ada: Person, client: Caller) -> None:
    assert send(Caller(client.client), "/prompts", b"x").status_code == 401
    assert_error(send(ada, "/prompts?x=1", b"x"), 400, "invalid_parameters")
    assert_error(send(ada, "/prompts", b"x", "text/plain", "br"), 415, "unsupported_media_type")


def test_the_limit_holds_for_the_compressed_and_for_the_decompressed_body(with_settings: Callable[..., Caller]) -> None:
    ada = sign_up(with_settings(max_body_bytes=2000, max_import_bytes=3000), "ada")
    exactly = PROMPT[:-1] + b" " * (2000 - len(PROMPT)) + b"}"
    assert send(ada, "/prompts", gzip.compress(exactly)).status_code == 201
    message = "The decompressed request body may have at most 2,000 bytes; it is more."
    assert_error(send(ada, "/prompts", gzip.compress(exactly + b" ")), 413, "too_large", message)
    assert_error(send(ada, "/logs/batch", gzip.compress(b"\n" * 2001), NDJSON), 413, "too_large", message)
    assert_error(send(ada, "/monitor/log", gzip.compress(b" " * 2001)), 413, "too_large", message)
    assert_error(send(ada, "/auth/login", gzip.compress(b" " * 2001)), 413, "too_large", message)
    stored = gzip.compress(exactly, 0)  # not compressed at all
    larger = send(ada, "/prompts", stored)
    assert_error(larger, 413, "too_large")
    assert larger.json["message"].endswith(f"request body may have at most 2,000 bytes; it is {len(stored):,}.")
    message = "The file may have at most 3,000 bytes; it is more."
    assert_error(send(ada, "/import", gzip.compress(b'{"type":"' + b"x" * 3000), NDJSON), 413, "too_large", message)


@pytest.mark.parametrize("path", ["/prompts", "/logs/batch", "/import", "/auth/login", "/experiment/none/log"])
def test_a_small_body_that_decompresses_to_much_takes_little_memory(ada: Person, path: str) -> None:
    compressor = zlib.compressobj(1, wbits=31)
    bomb = b"".join(compressor.compress(bytes(2**24)) for _ in range(12)) + compressor.flush()  # of 192 MiB
    assert len(bomb) < 2**20
    tracemalloc.start()
    try:
        answer = send(ada, path, bomb, NDJSON if path in ("/logs/batch", "/import") else JSON)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code in (400, 413)
    assert "bytes" in answer.json["message"], "it names the limit"
    assert most < 40 * 2**20
