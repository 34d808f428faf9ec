"""Lists that are streamed, and pages that are too large to be read as a whole."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import Context, copy_context
from typing import Any

import pytest

from tests.support.errors import assert_error
from tests.support.people import Answer, Person

OUTPUT = "word " * 40_000  # 200 KB: two of them are more than a piece of a response
STREAMS = 8  # at a time: two for each of four threads


@pytest.fixture
def long_logs(ada: Person) -> None:
    """Logs that are too large together to be read as a whole."""
    prompt_id = ada.prompt()["_id"]
    logs = [{"promptId": prompt_id, "output": f"{number} {OUTPUT}", "modelUsed": "m"} for number in range(24)]
    for batch in (logs[:8], logs[8:16], logs[16:]):
        assert ada.post("/logs/batch", {"logs": batch}).status_code in (200, 201)


def start(person: Person, path: str, **headers: str) -> Any:
    """Request a path and read the first piece of the response; the caller closes it."""
    answer = person.client.get(path, headers={**person.headers, **headers})
    pieces = answer.iter_encoded()
    answer.kept = pieces, answer.response, next(pieces)  # type: ignore[attr-defined]
    return answer


def test_a_connection_can_be_written_with_at_once_after_a_stream_on_it_was_cut_off(
    ada: Person, long_logs: None, subtests: pytest.Subtests
) -> None:
    prompt = ada.prompt()
    for path in ("/logs", "/export", "/logs?per_page=24", "/logs?q=word"):
        with subtests.test(path=path):
            for _ in range(3):
                stream = start(ada, path)
                ada.log(prompt)  # so that the stream's snapshot is not the newest
                stream.close()
                for _ in range(4):  # with each connection of the pool; what the stream has read is still referred to
                    ada.log(prompt)


def test_slow_readers_of_streams_take_no_connection_from_others(ada: Person, long_logs: None) -> None:
    prompt = ada.prompt()
    streams = [start(ada, path) for path in ["/logs", "/export"] * (STREAMS // 2)]
    refused = [ada.get(path) for path in ("/logs", "/export", "/logs?per_page=24")]
    for answer in refused:
        assert_error(answer, 503, "too_many_streams")
        assert answer.headers["Retry-After"] == "1"
    for _ in range(12):
        ada.log(prompt)
    assert ada.get("/logs?per_page=5").status_code == 200
    streams[0].close()
    streams[0].close()
    with closing(start(ada, "/logs")):
        assert ada.get("/logs").status_code == 503, "closing a response twice frees one place"
    assert ada.get("/logs").status_code == 200
    for stream in streams[1:]:
        stream.close()


def test_a_stream_whose_rows_are_all_read_takes_no_place(ada: Person) -> None:
    ada.log(ada.prompt())
    short = [start(ada, "/logs") for _ in range(2 * STREAMS)]
    assert ada.get("/logs").status_code == 200
    for stream in short:
        stream.close()


def test_a_stream_may_be_resumed_and_closed_in_other_threads(ada: Person, long_logs: None) -> None:
    for path in ("/logs", "/export"):
        context = copy_context()
        stream = context.run(start, ada, path)
        pieces, _, body = stream.kept
        while piece := run_in_new_thread(context, next, pieces, b""):
            body += piece
        run_in_new_thread(context, stream.close)
        assert body == ada.get(path).data, path


def run_in_new_thread(context: Context, function: Callable[..., Any], *arguments: Any) -> Any:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: context.run(function, *arguments)).result()


def follow(person: Person, path: str, **headers: str) -> list[Answer]:
    """Return the responses with all pages from this one on."""
    answers = []
    while path:
        answers.append(person.get(path, headers=headers))
        link = re.fullmatch(r"<http://localhost(.+)>; rel=\"next\"", answers[-1].headers.get("Link", ""))
        path = link[1] if link else ""
    return answers


def test_large_pages_have_the_same_rows_and_links_as_small_ones(ada: Person, long_logs: None, subtests: Any) -> None:
    for query in ("", "&q=word", "&sort=createdAt", "&sort=-score"):
        small = [log for answer in follow(ada, f"/logs?per_page=5{query}") for log in answer.json]
        assert len(small) == 24
        for per_page, pages in ((21, 2), (23, 2), (24, 1), (1000, 1)):
            with subtests.test(query=query, per_page=per_page):
                large = follow(ada, f"/logs?per_page={per_page}{query}")
                assert [log for answer in large for log in answer.json] == small
                assert len(large) == pages
    csv = follow(ada, "/logs?per_page=23", Accept="text/csv")
    assert [answer.data.count(b"\r\n") for answer in csv] == [24, 2]


def test_large_pages_of_prompts_have_the_same_rows_as_small_ones(ada: Person) -> None:
    for number in range(22):
        ada.prompt(title=f"Title {number}", content="x" * 200_000)
    for path in ("/prompts?", "/search?q=title&"):
        small = [prompt for answer in follow(ada, f"{path}per_page=20") for prompt in answer.json]
        assert len(small) == 22
        assert [prompt for answer in follow(ada, f"{path}per_page=21") for prompt in answer.json] == small
