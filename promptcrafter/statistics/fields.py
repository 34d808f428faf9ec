"""The query parameters that say by what logs are grouped."""

import re
from collections.abc import Mapping
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import ValidationError

from promptcrafter.http.fields import Text
from promptcrafter.statistics.keys import DOCUMENTED, KEYS, METADATA, UNITS

_METADATA_NAME = r'[^",\\\x00-\x1f]{1,64}'
_KEY = rf"(?:{'|'.join(KEYS)}|metadata\.{_METADATA_NAME})"
_GROUPING = f"{_KEY}(?:,{_KEY})?"
# The names of the IANA's database, but none of the abbreviations and of what a system has beside them, such as
# `localtime`, which is the zone of the server
_AREAS = (
    *("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Brazil", "Canada", "Chile"),
    *("Etc", "Europe", "Indian", "Mexico", "Pacific", "US"),
)
_ZONE = rf"UTC|(?:{'|'.join(_AREAS)})/[A-Za-z0-9_+/-]{{1,48}}"


class GroupBy(Text):
    """One or two keys, separated by a comma; loads to a list in the order of KEYS."""

    def __init__(self) -> None:
        description = f"Make one group for each value of this key, or each pair of values: {', '.join(KEYS)}, or "
        super().__init__(
            load_default=[DOCUMENTED[0]],
            metadata={
                "pattern": f"^{_GROUPING}$",
                "default": DOCUMENTED[0],
                "description": f"{description}metadata.<key>",
            },
        )

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if re.fullmatch(_GROUPING, text) is None:
            raise ValidationError(
                f"must be one or two of {', '.join(KEYS)} and {METADATA}<key>, with a comma between them"
            )
        keys = text.split(",")
        if len(set(keys)) < len(keys):
            raise ValidationError(f"must not have {keys[0]} twice")
        if len(keys) > 1 and any(key.startswith(METADATA) for key in keys) and f"{min(keys)}." in max(keys):
            raise ValidationError("must not have two keys of which one is the beginning of the other")
        if len({*UNITS} & {*keys}) > 1:
            raise ValidationError(f"must have one of {', '.join(UNITS)} only")
        return sorted(keys, key=lambda key: KEYS.index(key) if key in KEYS else len(KEYS))


class Zone(Text):
    """The name of a time zone; loads to it."""

    def __init__(self) -> None:
        super().__init__(
            load_default=UTC,
            metadata={
                "pattern": f"^(?:{_ZONE})$",
                "default": "UTC",
                "description": "The time zone in which days, weeks and months begin: an area and a city, such as "
                "`Europe/Berlin`, or `UTC`",
            },
        )

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        name = super()._deserialize(value, attr, data, **kwargs)
        if name in ("UTC", "Etc/UTC"):
            return UTC
        try:
            if re.fullmatch(_ZONE, name) is None:
                raise ValueError
            return ZoneInfo(name)
        except (KeyError, OSError, ValueError) as error:
            raise ValidationError("must be a time zone, such as Europe/Berlin") from error
