"""Flask's way to `jsonio`."""

from typing import Any

from flask.json.provider import JSONProvider

from promptcrafter.jsonio import dumps, loads


class Provider(JSONProvider):
    """Reads and writes JSON as `jsonio` does."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return dumps(obj)

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return loads(s.encode("utf-8") if isinstance(s, str) else s)
