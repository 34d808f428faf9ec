"""marshmallow fields for the values of requests and responses.

An error message is the rest of a sentence that begins with the field's name: "score" and "must be a number from 0 to
10". Each field describes its rule in the OpenAPI document.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from marshmallow import ValidationError, fields, missing, validate
from marshmallow.exceptions import SCHEMA

from promptcrafter import clock, emails
from promptcrafter.jsonio import find_unstorable_text
from promptcrafter.problems import REQUIRED, UNCHECKED
from promptcrafter.text import INVISIBLE_BMP, find_invisible, is_invisible

_MILLISECONDS_FROM = 10**11  # a Unix time from here on is in milliseconds, below in seconds
_NO_NUL = "[^\\u0000]"
_EMAIL = rf"^[^\s@{INVISIBLE_BMP}]+@[^\s@.{INVISIBLE_BMP}]+(\.[^\s@.{INVISIBLE_BMP}]+)+$"
_YEAR = "(?:19[7-9][0-9]|[2-9][0-9]{3})"
_TIME = f"^{clock.pattern(_YEAR)}$"
_UNIX_TIME = r"[0-9]{1,15}(\.[0-9]{1,9})?"
_AGO = "[0-9]{1,4}[mhdw]"  # at most two centuries
_TIME_TEXT = f"{_TIME.replace('[+-]', '[+ -]')}|^{_UNIX_TIME}$|^{_AGO}$"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LATEST = 253_402_300_799_999  # the last millisecond of the year 9999
_BLANK = "must not be blank"
_FAULTS_MAX = 100  # of a list: as many as an error shows
ERRORS: dict[str, Any] = {"required": REQUIRED, "null": REQUIRED}


def _is_blank(text: str) -> bool:
    return not text.strip()


class Text(fields.String):
    """Text, loaded unchanged.

    `minimum` and `maximum` are lengths in characters. With `blank=False` the text must not consist of white space
    alone. With `choices` it must be one of them. An empty text in a required field counts as missing.
    """

    default_error_messages = {**ERRORS, "invalid": "must be a string"}

    def __init__(
        self,
        *,
        minimum: int = 0,
        maximum: int | None = None,
        blank: bool = True,
        choices: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        self._length = validate.Length(min=minimum or None, max=maximum, error=_length_rule(minimum, maximum))
        checks: list[Any] = [self._length] if minimum or maximum else []
        pattern = f"^{_NO_NUL}*$" if blank else f"^{_NO_NUL}*[^\\s\\u0000]{_NO_NUL}*$"
        if not blank:
            checks.append(_refuse_blank)
        null = [None] if kwargs.get("allow_none") else []
        described = {"enum": [*choices, *null]} if choices else {"pattern": pattern}
        if choices:
            checks.append(validate.OneOf(choices, error=f"must be one of {', '.join(choices)}"))
        super().__init__(metadata={**described, **kwargs.pop("metadata", {})}, **kwargs)
        self.validators.extend(checks)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        if not value and self.required:
            raise self.make_error("required")
        if self._length.max is not None and len(value) > self._length.max:
            self._length(value)  # before the content: a body has room for two million characters
        refuse_unstorable_text(value)
        return value


class Name(Text):
    """Text by which people recognise something: not all of it may be white space and invisible characters."""

    def __init__(self, **kwargs: Any) -> None:
        pattern = f"^{_NO_NUL}*[^\\s{INVISIBLE_BMP}]{_NO_NUL}*$"
        super().__init__(metadata={"pattern": pattern, **kwargs.pop("metadata", {})}, **kwargs)
        self.validators.append(_refuse_invisible)


class StoredName(Text):
    """A name in an export: only white space alone is refused, which is all that earlier releases refused."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(blank=False, **kwargs)


class TextOut(fields.String):
    """Text of a response; None is dumped as an empty string."""

    def _serialize(self, value: str | None, attr: str | None, obj: Any, **kwargs: Any) -> str:
        return value or ""


class ForeignId(Text):
    """An id of another resource. Text that cannot be stored loads as `""`, which matches nothing."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, str) and find_unstorable_text(value):
            return ""
        return super()._deserialize(value, attr, data, **kwargs)


class PatternText(Text):
    """Text that matches a regular expression, written from `^` to `$`; `rule` is the message where it does not."""

    def __init__(self, pattern: str, rule: str, **kwargs: Any) -> None:
        super().__init__(metadata={**kwargs.pop("metadata", {}), "pattern": pattern}, **kwargs)
        error = rule.replace("{", "{{").replace("}", "}}")  # marshmallow formats it
        self.validators.append(validate.Regexp(rf"{pattern.removesuffix('$')}\Z", error=error))


class Email(PatternText):
    """An e-mail address. Only its form is checked, not that the mailbox exists.

    Invisible characters are refused, because addresses that look the same must be the same.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(_EMAIL, "must be an e-mail address", maximum=emails.LENGTH_MAX, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        character = find_invisible(text)
        if character is not None:
            raise ValidationError(f"must not contain an invisible character (U+{ord(character):04X})")
        return text


class Number(fields.Float):
    """A finite JSON number, neither a boolean nor text; a whole value is dumped as `9`, not as `9.0`."""

    def __init__(self, *, minimum: float | None = None, maximum: float | None = None, **kwargs: Any) -> None:
        rule = "must be a number"
        if minimum is not None:
            rule += f", at least {minimum}" if maximum is None else f" from {minimum} to {maximum}"
        super().__init__(
            validate=validate.Range(min=minimum, max=maximum, error=rule),
            error_messages={**ERRORS, "invalid": rule},
            **kwargs,
        )

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid")
        try:
            return float(value) + 0.0  # -0.0 becomes 0.0, which is what SQLite would store
        except OverflowError:
            raise self.make_error("invalid") from None

    def _serialize(self, value: float | None, attr: str | None, obj: Any, **kwargs: Any) -> float | int | None:
        return None if value is None else as_number(value)


class WholeNumber(fields.Integer):
    """A whole JSON number, neither a boolean nor text."""

    def __init__(self, *, minimum: int, maximum: int, **kwargs: Any) -> None:
        rule = f"must be a whole number from {minimum} to {maximum}"
        super().__init__(
            validate=validate.Range(min=minimum, max=maximum, error=rule),
            error_messages={**ERRORS, "invalid": rule, "too_large": rule},
            **kwargs,
        )

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("invalid")
        return value


class Flag(fields.Boolean):
    """A JSON boolean, neither a number nor text."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(error_messages={**ERRORS, "invalid": "must be true or false"}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class QueryFlag(fields.Boolean):
    """`true` or `false` in a query string."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(error_messages={**ERRORS, "invalid": "must be true or false"}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if value not in ("true", "false"):
            raise self.make_error("invalid")
        return bool(value == "true")


class QueryInteger(WholeNumber):
    """A whole number in a query string."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if not re.fullmatch("-?[0-9]{1,18}", value):
            raise self.make_error("invalid")
        return int(value)


class QueryNumber(Number):
    """A number in a query string."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> float:
        if not re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", value):
            raise self.make_error("invalid")
        return float(value)


class BoundedList(fields.List[Any]):
    """A list of `minimum` to `maximum` items. Every list in a request is one: a body has room for a million items.

    The length is checked before the items are loaded, which takes up to a hundred microseconds for each. Loading stops
    where the items have `_FAULTS_MAX` faults, and the error says so. `rule` replaces the message about the length.
    """

    default_error_messages = {**ERRORS, "invalid": "must be an array"}

    def __init__(
        self, item: fields.Field[Any], *, maximum: int, minimum: int = 0, rule: str = "", **kwargs: Any
    ) -> None:
        if not rule:
            rule = f"must have {minimum} to {maximum} entries" if minimum else f"must have at most {maximum} entries"
        self.maximum = maximum
        self.length = validate.Length(min=minimum or None, max=maximum, error=rule)
        super().__init__(item, **kwargs)
        self.validators.append(self.length)  # read by apispec

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        self.length(value)
        return self.load_items(value)

    def load_items(self, items: list[Any]) -> list[Any]:
        """Load the items of a list whose length is right. Raises ValidationError."""
        loaded: list[Any] = []
        errors: dict[str | int, Any] = {}
        faults = 0
        for position, item in enumerate(items):
            try:
                loaded.append(self.inner.deserialize(item))
            except ValidationError as error:
                errors[position] = error.messages
                faults += _count_reasons(error.messages)
                if faults >= _FAULTS_MAX and position + 1 < len(items):
                    errors = {SCHEMA: [UNCHECKED], **errors}  # first, because an error shows the first reasons
                    break
        if errors:
            raise ValidationError(errors)
        return loaded


class RepeatedText(BoundedList):
    """A query parameter that may be given several times; loads to the list of its different values.

    A fault of any of the values is one of the parameter.
    """

    def __init__(self, item: Text, *, maximum: int, **kwargs: Any) -> None:
        super().__init__(item, maximum=maximum, rule=f"may be given at most {maximum} times", **kwargs)

    def load_items(self, items: list[Any]) -> list[Any]:
        """Return the different values. Raises ValidationError for the first one at fault."""
        return [self.inner.deserialize(item) for item in dict.fromkeys(items)]


class NamedTexts(fields.Raw):
    """All query parameters whose names begin with the name of this one and a point, such as `metadata.user`.

    Loads to the pairs of the rest of such a name and a value. A name may be given several times. The OpenAPI document
    has it as an object, whose keys are sent as parameters of their own.
    """

    def __init__(self, name: str, *, maximum: int, maximum_length: int, **kwargs: Any) -> None:
        self.prefix = f"{name}."
        self._maximum = maximum
        self._text = Text(maximum=maximum_length)
        described: dict[str, Any] = {"type": "object", "maxProperties": maximum}
        described["propertyNames"] = {"pattern": f"^{re.escape(name)}\\.{_NO_NUL}{{1,{maximum_length}}}$"}
        described["additionalProperties"] = {"type": "string", "maxLength": maximum_length, "pattern": f"^{_NO_NUL}*$"}
        metadata = {**described, **kwargs.pop("metadata", {})}
        super().__init__(metadata=metadata, error_messages=ERRORS, **kwargs)

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        """Return the pairs; `missing` if there are none."""
        parameters: Any = getattr(data, "data", data)  # of webargs' proxy
        pairs = [
            (name.removeprefix(self.prefix), text)
            for name, texts in parameters.lists()
            if name.startswith(self.prefix)
            for text in texts
        ]
        if not pairs:
            return missing
        if len(pairs) > self._maximum:
            raise ValidationError(f"may be given at most {self._maximum} times")
        for name, text in pairs:
            try:
                self._text.deserialize(name)
                self._text.deserialize(text)
            except ValidationError as error:
                raise ValidationError({name: error.messages}) from error
        return list(dict.fromkeys(pairs))


def _count_reasons(messages: Any) -> int:
    return sum(map(_count_reasons, messages.values())) if isinstance(messages, dict) else len(messages)


class Tags(BoundedList):
    """A list of names; loads without repetitions, in the order of first occurrence. Repetitions do not count."""

    item: type[Text] = Name
    is_blank = staticmethod(is_invisible)

    def __init__(self, *, maximum: int, maximum_length: int, **kwargs: Any) -> None:
        self.maximum_length = maximum_length
        super().__init__(
            self.item(minimum=1, maximum=maximum_length),
            maximum=maximum,
            error_messages={**ERRORS, "invalid": "must be an array of strings"},
            **kwargs,
        )

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.make_error("invalid")
        return super()._deserialize(list(dict.fromkeys(value)), attr, data, **kwargs)

    def load_items(self, items: list[Any]) -> list[Any]:
        """Return the names unchanged. Raises ValidationError."""
        refuse_unstorable_text(items)
        if any(len(item) > self.maximum_length or self.is_blank(item) for item in items):
            raise ValidationError(f"must hold strings of 1 to {self.maximum_length} characters, not all blank")
        return items


class StoredTags(Tags):
    """The tags in an export: see StoredName."""

    item = StoredName
    is_blank = staticmethod(_is_blank)


class Timestamp(fields.DateTime):
    """A time of a response: RFC 3339 text in UTC with milliseconds."""

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else clock.to_text(value)


class TimestampIn(fields.Raw):
    """A time of a request: text that `clock.from_text` parses, or a Unix time in seconds or milliseconds, from 1970 on.

    Loads to an aware datetime in UTC, cut to milliseconds.
    """

    default_error_messages = {**ERRORS, "invalid": "must be an ISO 8601 time or a Unix time"}

    def __init__(self, **kwargs: Any) -> None:
        described = {"type": ["string", "number"], "pattern": _TIME, "minimum": 0, "maximum": _LATEST}
        described |= {"description": "Such as `2024-06-20T13:10:00Z`", **kwargs.pop("metadata", {})}
        super().__init__(metadata=described, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        try:
            if isinstance(value, str) and re.match(_YEAR, value):
                return clock.from_text(value)
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST:
                return clock.from_number(int(value if value >= _MILLISECONDS_FROM else value * 1000))
        except ValueError:
            pass  # for example February 30th, or a time after the year 9999 in UTC
        raise self.make_error("invalid")


class TimestampText(TimestampIn):
    """A time in a query string, or how long ago it was: `7d` is the time a week before now."""

    default_error_messages = {
        **ERRORS,
        "invalid": "must be an ISO 8601 time, a Unix time or a time ago such as 7d, 24h, 2w or 30m",
    }

    def __init__(self, *, description: str) -> None:
        super().__init__(metadata={"type": "string", "pattern": _TIME_TEXT, "description": description})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        if is_relative_time(value):
            return clock.now() - timedelta(**{_UNITS[value[-1]]: int(value[:-1])})
        if re.fullmatch(_UNIX_TIME, value):
            return super()._deserialize(float(value), attr, data, **kwargs)
        # an unescaped `+` arrives as a blank; one that follows date and time can only have been the sign of an offset
        before, blank, offset = value.rpartition(" ")
        is_sign = blank and any(separator in before for separator in "Tt ") and re.fullmatch("[0-9:]{2,5}", offset)
        return super()._deserialize(f"{before}+{offset}" if is_sign else value, attr, data, **kwargs)


def is_relative_time(text: str) -> bool:
    """Return whether the text of a TimestampText says how long ago a time was, so that it means another one later."""
    return re.fullmatch(_AGO, text) is not None


def as_number(value: float) -> float | int:
    """Return a whole float as an integer, so that JSON has `9` and not `9.0`; from 10^21 on return it unchanged."""
    return int(value) if float(value).is_integer() and abs(value) < 10**21 else value


def _length_rule(minimum: int, maximum: int | None) -> str:
    if maximum is None:
        return "must not be empty" if minimum == 1 else f"must have at least {minimum} characters"
    return f"must have {minimum} to {maximum} characters" if minimum else f"must have at most {maximum} characters"


def refuse_unstorable_text(value: Any) -> None:
    """Raise ValidationError if a decoded JSON value holds text that SQLite or PostgreSQL cannot store."""
    reason = find_unstorable_text(value)
    if reason:
        raise ValidationError(reason)


def _refuse_blank(text: str) -> None:
    if _is_blank(text):
        raise ValidationError(_BLANK)


def _refuse_invisible(text: str) -> None:
    if is_invisible(text):
        raise ValidationError(_BLANK)
