"""The JSON provider that lets Flask use `jsonio`."""

from typing import Any

from flask.json.provider import JSONProvider

from promptcrafter.jsonio import dumps, loads


class Provider(JSONProvider):
    """Serializes and parses JSON with `jsonio`."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return dumps(obj)

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return loads(s.encode("utf-8") if isinstance(s, str) else s)
