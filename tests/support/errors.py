"""The body that every error has."""

from tests.support.people import Answer


def assert_error(answer: Answer, status: int, code: str, message: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    body = answer.json
    assert set(body) - {"details"} == {"message", "error", "code", "requestId"}
    assert body["message"] == body["error"]
    assert body["code"] == code
    assert body["requestId"] == answer.headers["X-Request-Id"]
    if message is not None:
        assert body["message"] == message
