"""Bases of the schemas, lists of objects, fields that hold JSON, and groups of fields that schemas share.

A `FieldGroup` holds the fields that several schemas have in common, by name and in the order of the wire. A schema
takes them over with `locals().update(group)`, which in the body of a class adds them where it stands. Base classes
would not do: marshmallow puts their fields before all others, and the order of keys is part of the wire's form.
"""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, pre_load, validate

from promptcrafter.http.fields import ERRORS, refuse_unstorable_text
from promptcrafter.jsonio import dumps

FieldGroup = dict[str, fields.Field[Any]]


class BodySchema(Schema):
    """A request body or an object in it: unknown keys are ignored, as the documented clients send extras."""

    class Meta:
        unknown = EXCLUDE

    error_messages = {"type": "must be an object"}


class CreateSchema(BodySchema):
    """The body of a POST or an object in it: null is the same as absent."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Describe what may be absent as nullable."""
        if not field_obj.required:
            field_obj.allow_none = True

    @pre_load
    def drop_nulls(self, data: Any, **kwargs: Any) -> Any:
        if not isinstance(data, dict):
            return data  # marshmallow says what it must be
        return {key: value for key, value in data.items() if value is not None}


class SparseSchema(Schema):
    """An object that leaves out what is optional and not known; a required field is there, null if need be."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._shown = [(field.data_key or name, name, field) for name, field in self.fields.items()]

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Return what is known of an object, or of a mapping of its attributes.

        The usual way asks each field for a value, a default and a hook, and most of them have none.
        """
        if self.many if many is None else many:
            return [self.dump(one, many=False) for one in obj]
        dumped = {}
        for key, name, field in self._shown:
            value = obj.get(name) if isinstance(obj, dict) else getattr(obj, name)
            if value is not None or field.required:
                dumped[key] = field._serialize(value, name, obj)
        return dumped


class Objects(fields.List[Any]):
    """A list of objects of one shape, no two of which have the same text in the field `distinct`."""

    def __init__(
        self, schema: Schema, *, distinct: str = "", minimum: int = 0, maximum: int | None = None, **kwargs: Any
    ) -> None:
        self.distinct = distinct
        checks: list[Any] = [self._refuse_twins] if distinct else []
        if minimum or maximum:
            rule = f"must have {minimum} to {maximum} entries"
            checks.append(validate.Length(min=minimum, max=maximum, error=rule))
        nested = fields.Nested(schema, error_messages={"null": "must be an object"})
        messages: dict[str, Any] = {**ERRORS, "invalid": "must be an array of objects"}
        super().__init__(nested, validate=checks, error_messages=messages, **kwargs)

    def _refuse_twins(self, items: list[dict[str, Any]]) -> None:
        names = Counter(item[self.distinct] for item in items)
        twins = [name for name, count in names.items() if count > 1]
        if twins:
            raise ValidationError(f"must not have the {self.distinct} {twins[0]} twice")


class Batch(Objects):
    """A list of objects of one shape, loaded as they are: each is then looked at on its own."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        return value


class _Json(fields.Raw):
    """A JSON value of some types, loaded as it is."""

    kinds: tuple[type, ...]
    described: dict[str, Any]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={**self.described, **kwargs.pop("metadata", {})}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, self.kinds):
            raise self.make_error("invalid")
        refuse_unstorable_text(value)
        return value


class JsonOrText(_Json):
    """Text, or an object or array: loads to the value as it was sent."""

    kinds = (str, dict, list)
    described = {"type": ["string", "object", "array"]}
    default_error_messages = {**ERRORS, "invalid": "must be a string, an object or an array"}


class TextAndFormat(JsonOrText):
    """Text, or an object or array, kept in two columns: the field's own and `<name>_format` beside it.

    Loads to `(text, None)` for text and to `(compact JSON, "json")` for an object or array, which the schema's
    hook has to pass to `split_formats`. Dumps an object that has both columns to the value as it was sent.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, str | None]:
        value = super()._deserialize(value, attr, data, **kwargs)
        return (value, None) if isinstance(value, str) else (dumps(value), "json")

    def _serialize(self, value: str | None, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return json.loads(value) if value is not None and getattr(obj, f"{attr}_format") == "json" else value


def split_formats(values: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Replace each pair that TextAndFormat loaded by the values of its two columns; return `values`."""
    for name in names:
        if name in values:
            values[name], values[f"{name}_format"] = values[name]
    return values


class JsonObject(_Json):
    """A JSON object of any content."""

    kinds = (dict,)
    described = {"type": "object"}
    default_error_messages = {**ERRORS, "invalid": "must be an object"}


class JsonArray(_Json):
    """A JSON array of any content."""

    kinds = (list,)
    described = {"type": "array", "items": {}}
    default_error_messages = {**ERRORS, "invalid": "must be an array"}
