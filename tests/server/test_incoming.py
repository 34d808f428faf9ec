"""Requests collected piece by piece: where they end, what is refused, and what the application reads of them."""

import itertools
from collections.abc import Iterator

import pytest
from gunicorn.config import Config
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import InvalidRequestLine, LimitRequestHeaders, LimitRequestLine, ParseException
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcrafter.server.incoming import HEAD_MAX, BodyWanted, Incoming

BODY_MAX = 1000
GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"


def post(body: bytes) -> bytes:
    return b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def chunked(framed: bytes) -> bytes:
    return b"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + framed


def in_chunks(body: bytes, size: int = 7) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def incoming() -> Incoming:
    return Incoming(Config(), ("127.0.0.1", 1), BODY_MAX)


def read_all(received: Incoming, pieces: Iterator[bytes]) -> list[tuple[str, bytes]]:
    """Return the path and body of each request in what is received."""
    found = []
    for piece in pieces:
        received.feed(piece)
        while received.has_request():
            found.append((received.request.path, received.wsgi_input().read()))
            assert received.is_whole
            received.next()
    return found


@settings(max_examples=50)
@given(st.integers(1, 90), st.lists(st.sampled_from([b"", b"x" * 7, b"y" * 100, b"\r\n\r\n" * 9]), max_size=4))
def test_requests_are_the_same_however_they_are_cut(size: int, bodies: list[bytes]) -> None:
    sent = GET + b"".join(itertools.chain.from_iterable((post(b), chunked(in_chunks(b)) if b else GET) for b in bodies))
    expected = [("/a", b"")]
    for body in bodies:
        expected += [("/p", body), ("/p", body) if body else ("/a", b"")]
    pieces = (sent[at : at + size] for at in range(0, len(sent), size))
    assert read_all(incoming(), pieces) == expected


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (b"GET / HTTP/1.1\n\n", ParseException),
        (b"GET / HTTP/1.1\r\nHost: x\n", ParseException),
        (b"nonsense\r\n\r\n", InvalidRequestLine),
        (b"\r\n\r\n", ParseException),
        (b"GET /" + b"a" * HEAD_MAX, LimitRequestLine),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (HEAD_MAX // 5), LimitRequestHeaders),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * HEAD_MAX, LimitRequestHeaders),
    ],
)
def test_a_head_that_no_more_input_can_mend_is_refused_at_once(head: bytes, error: type[Exception]) -> None:
    received = incoming()
    received.feed(head)
    with pytest.raises(error):
        received.has_request()


def test_a_large_body_is_asked_for_by_the_application_before_it_is_collected() -> None:
    body = b"z" * (BODY_MAX + 1)
    received = incoming()
    received.feed(post(body)[: -len(body)])
    assert received.has_request()
    assert not received.is_whole
    with pytest.raises(BodyWanted):
        received.wsgi_input().read()
    received.collect_all()
    for at in range(0, len(body), 100):
        assert not received.has_request()
        received.feed(body[at : at + 100] + (GET if at + 100 > len(body) else b""))
    assert received.has_request()
    assert received.wsgi_input().read() == body
    assert received.is_whole
    received.next()
    assert received.has_request()
    assert received.request.path == "/a"


def test_so_much_of_a_large_chunked_body_can_be_read_that_the_application_sees_that_it_is_too_large() -> None:
    body = bytes(range(256)) * 600
    received = incoming()
    sent = chunked(in_chunks(body, 1000))
    sizes = iter(range(0, len(sent), 1000))
    for at in sizes:
        received.feed(sent[at : at + 1000])
        if received.has_request():
            break
    reader = received.wsgi_input()
    assert reader.read(BODY_MAX + 1) == body[: BODY_MAX + 1]
    with pytest.raises(BodyWanted):
        reader.read()
    received.collect_all()
    for at in sizes:
        assert not received.has_request()
        received.feed(sent[at : at + 1000])
    assert received.has_request()
    assert received.wsgi_input().read() == body
    received.close()


@pytest.mark.parametrize(
    "framed",
    [
        b"zz\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"5\r\nhello\n\n0\r\n\r\n",
        b"5 ; a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"a" * 300,
        b"\r\n",
        b"f" * 17 + b"\r\n",
        b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",  # valid, but the next request is not looked for behind it
        b"5\r\nhello\r\n0\r\n" + b"A: b\r\n" * 2000,
        b"1\r\nx\r\n" * 10_001,
    ],
)
def test_a_chunked_body_that_is_not_plainly_framed_ends_the_connection(framed: bytes) -> None:
    for size in (1, len(framed)):
        received = incoming()
        received.feed(chunked(b""))
        for at in range(0, len(framed), size):
            if received.has_request():
                break
            received.feed(framed[at : at + size])
        assert received.has_request()
        assert not received.is_whole


def test_a_body_that_is_cut_off_is_read_as_far_as_it_came() -> None:
    received = incoming()
    received.feed(post(b"x" * 100)[:-40])
    assert not received.has_request()
    received.feed(b"")
    assert received.has_request()
    assert received.wsgi_input().read() == b"x" * 60
    assert not received.is_whole


def test_the_continuation_that_a_client_waits_for_is_left_to_the_worker() -> None:
    received = incoming()
    received.feed(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert not received.has_request()
    assert received.expects_continue
    assert not received.request._expected_100_continue


def test_the_parser_has_little_before_it_at_each_chunk_however_long_the_body_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parse, ahead = ChunkedReader.parse_chunk_size, list[int]()

    def note(reader: ChunkedReader, unreader: object, data: bytes | None = None) -> object:
        ahead.append(len(data or b""))
        return parse(reader, unreader, data)

    monkeypatch.setattr(ChunkedReader, "parse_chunk_size", note)
    body = b"z" * 300_000
    received = Incoming(Config(), ("127.0.0.1", 1), len(body))
    received.feed(chunked(in_chunks(body, 1000)))
    assert received.has_request()
    assert received.wsgi_input().read() == body
    assert len(ahead) == 301
    assert max(ahead) < 64 * 1024, "the parser copies it for each chunk"
