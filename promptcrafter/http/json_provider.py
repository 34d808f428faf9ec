"""Makes Flask read and write JSON with `jsonio`."""

from typing import Any

from flask.json.provider import JSONProvider

from promptcrafter.jsonio import dumps, loads


class Provider(JSONProvider):
    """The JSON provider of the application: strict when it reads, compact UTF-8 when it writes."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return dumps(obj)

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return loads(s.encode("utf-8") if isinstance(s, str) else s)
