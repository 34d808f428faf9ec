"""Base schemas, lists of objects, fields that hold JSON, and groups of fields that schemas share.

A `FieldGroup` maps names to the fields that several schemas have in common. `locals().update(group)` in the body of a
schema declares them there, between its own fields. A base class would not do: marshmallow puts inherited fields first,
and the order of keys must not change in responses, exports and the OpenAPI document.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NoReturn

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, pre_load
from marshmallow.types import UnknownOption

from promptcrafter.http import ignored_fields
from promptcrafter.http.fields import ERRORS, BoundedList, refuse_unstorable_text
from promptcrafter.http.ignored_fields import UnknownFields
from promptcrafter.ids import Kind, pattern
from promptcrafter.jsonio import dumps
from promptcrafter.problems import Invalid, Problem, flatten
from promptcrafter.text import shorten

FieldGroup = dict[str, fields.Field[Any]]
COMPONENTS: dict[str, dict[str, Any]] = {}  # of the OpenAPI document, besides the schemas of routes, by name


def name_component(name: str, description: dict[str, Any]) -> dict[str, str]:
    """Add a description of JSON to the OpenAPI document, and return the reference to it.

    For what is no schema of its own, such as one of several forms of an object: generated clients use the name.
    """
    COMPONENTS[name] = description
    return {"$ref": f"#/components/schemas/{name}"}


class BodySchema(Schema):
    """A request body or an object in it. Unknown keys are ignored, because documented clients send additional ones.

    `load_body` names the ignored keys in the response, or refuses them. A body in which a misspelt key would be
    dangerous to ignore has `unknown = RAISE` in its `Meta`: such keys are always refused, and the OpenAPI document says
    that there are no further ones.
    """

    class Meta:
        unknown = EXCLUDE

    error_messages = {"type": "must be an object"}
    other_names: ClassVar[tuple[str, ...]] = ()  # keys that a hook reads besides those of the fields
    server_set: ClassVar[frozenset[str]] = ignored_fields.SERVER_SET  # keys of a body that are ignored without a word
    hints: ClassVar[Mapping[str, str]] = {}  # reasons for unknown names that people send because they mean another call
    rules: ClassVar[dict[str, Any]] = {}  # JSON Schema of what concerns several fields, for the OpenAPI document

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._known = (*(field.data_key or name for name, field in self.fields.items()), *self.other_names)
        self._known_of_part = frozenset(self._known)
        self._known_of_body = self._known_of_part | self.server_set
        # The key and schema of objects in the body, and of the items of lists with the maximum of their number
        self._parts = [
            (field.data_key or name, nested.schema, field.maximum if isinstance(field, BoundedList) else None)
            for name, field in self.fields.items()
            if isinstance(nested := field.inner if isinstance(field, BoundedList) else field, fields.Nested)
            and isinstance(nested.schema, BodySchema)
            and not isinstance(field, Batch)
        ]

    def handle_error(self, error: ValidationError, data: Any, **kwargs: Any) -> NoReturn:
        """Raise an error in place of marshmallow's own, which the frame that raises it refers to.

        In such a cycle, the body and all that was made of it would stay in memory until the next garbage collection.
        """
        raise ValidationError(error.messages)

    def find_unknown(self, value: Any, path: tuple[str | int, ...] = ()) -> list[UnknownFields]:
        """Return the unknown keys of a decoded body and of the objects in it that have a schema.

        `path` leads to the value within the body. Values of the wrong type and lists that are too long have none:
        loading them reports that. The items of a batch are left to the batch.
        """
        if not isinstance(value, dict):
            return []
        known = self._known_of_part if path else self._known_of_body
        unknown = []
        if not known.issuperset(value):
            unknown.append(UnknownFields(path, [key for key in value if key not in known], self._known))
        for key, schema, maximum in self._parts:
            part = value.get(key)
            if maximum is None:
                unknown += schema.find_unknown(part, (*path, key))
            elif isinstance(part, list) and len(part) <= maximum:
                for position, item in enumerate(part):
                    unknown += schema.find_unknown(item, (*path, key, position))
        return unknown


class CreateSchema(BodySchema):
    """The body of a POST or an object in it. A null is treated as absent."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Describe optional fields as nullable in the OpenAPI document."""
        if not field_obj.required:
            field_obj.allow_none = True

    @pre_load
    def drop_nulls(self, data: Any, **kwargs: Any) -> Any:
        if not isinstance(data, dict):
            return data  # marshmallow reports the wrong type
        return {key: value for key, value in data.items() if value is not None}


class SparseSchema(Schema):
    """The object of a response. An optional field without a value is left out; a required one never is."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._outputs = [(field.data_key or name, name, field) for name, field in self.fields.items()]

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Dump an object, or a dict of its attributes. Hooks and `dump_default` are not supported.

        marshmallow's own `dump` looks up a value, a default and an attribute name for every field, which takes longer
        than all the rest: most of the fields of a log have no value.
        """
        if self.many if many is None else many:
            return [self.dump(item, many=False) for item in obj]
        dumped = {}
        for key, name, field in self._outputs:
            value = obj.get(name) if isinstance(obj, dict) else getattr(obj, name)
            if value is not None or field.required:
                dumped[key] = field._serialize(value, name, obj)
        return dumped


class Objects(BoundedList):
    """A list of objects of one schema. With `unique_by` no two of them may have the same value in that field."""

    def __init__(self, schema: Schema, *, maximum: int, minimum: int = 0, unique_by: str = "", **kwargs: Any) -> None:
        self.unique_by = unique_by
        super().__init__(
            fields.Nested(schema, error_messages={**ERRORS, "null": "must be an object"}),
            minimum=minimum,
            maximum=maximum,
            rule=f"must have {minimum} to {maximum} entries",
            error_messages={**ERRORS, "invalid": "must be an array of objects"},
            **kwargs,
        )
        if unique_by:
            self.validators.append(self._reject_duplicates)

    def _reject_duplicates(self, items: list[dict[str, Any]]) -> None:
        counts = Counter(item[self.unique_by] for item in items)
        repeated = [value for value, count in counts.items() if count > 1]
        if repeated:
            raise ValidationError(f"must not have the {self.unique_by} {shorten(repeated[0])} twice")


class Batch(Objects):
    """A list of objects of one schema, each loaded by itself with `load_body`.

    Loads to a list of what the schema returns, or of the `Problem` of an object, so that one bad object does not reject
    the others. `noun` is what the errors call an object. An item that is a `Problem` already is kept.
    """

    def __init__(self, schema: BodySchema, noun: str, **kwargs: Any) -> None:
        self._schema = schema
        self._noun = noun
        super().__init__(schema, **kwargs)

    def load_items(self, items: list[Any]) -> list[Any]:
        """Load each item by itself; return what it loads to, or its problem."""
        return [self._load(item) for item in items]

    def _load(self, item: Any) -> Any:
        if isinstance(item, Problem):
            return item
        if not isinstance(item, dict):
            return Invalid({self._noun: ["must be an object"]})
        try:
            return load_body(self._schema, item)
        except Problem as problem:
            return problem.without_trace()


def result_fields(kind: Kind) -> FieldGroup:
    """Return the fields of the result of one item of a batch: a status and the id of what was stored, or an error."""
    return {
        "status": fields.Integer(required=True),
        "id": fields.String(data_key="_id", metadata={"pattern": pattern(kind)}),
        "message": fields.String(),
        "error": fields.String(),
        "code": fields.String(),
        "details": fields.Dict(keys=fields.String(), values=fields.List(fields.String())),
    }


def load(schema: Schema, value: Any, *, unknown: UnknownOption | None = None) -> Any:
    """Load one value with a schema. Raises Invalid. `unknown` overrides what the schema does with unknown keys."""
    try:
        return schema.load(value, unknown=unknown)
    except ValidationError as error:
        raise Invalid(flatten({"json": error.messages})) from error


def load_body(schema: BodySchema, value: Any) -> Any:
    """Load a request body, or an item of a batch, and report the keys that the schema does not know.

    Raises Invalid; in strict mode, and for schemas that are always strict, also for unknown keys.
    """
    unknown = schema.find_unknown(value)
    if not unknown:
        return load(schema, value, unknown=EXCLUDE)  # there may be keys that only the server sets
    if not (schema.unknown == RAISE or ignored_fields.is_strict()):
        ignored_fields.note_unknown(unknown)
        return load(schema, value, unknown=EXCLUDE)
    details, more = ignored_fields.describe_unknown(unknown)
    details |= {name: [hint] for name, hint in schema.hints.items() if name in details}
    try:
        schema.load(value, unknown=EXCLUDE)
    except ValidationError as error:
        raise Invalid({**flatten({"json": error.messages}), **details}, more=more) from error
    raise Invalid(details, "unknown_fields", more=more)


class _Json(fields.Raw):
    """A JSON value of certain types, loaded unchanged."""

    types: tuple[type, ...]
    # In the OpenAPI document. Though any value is allowed, generators of clients need `items` and
    # `additionalProperties`: without them some leave out the call, and others type an object as one without keys
    described: dict[str, Any]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={**self.described, **kwargs.pop("metadata", {})}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, self.types):
            raise self.make_error("invalid")
        refuse_unstorable_text(value)
        return value


class JsonOrText(_Json):
    """Text, or a JSON object or array; loads to the value as it was sent."""

    types = (str, dict, list)
    described = {"type": ["string", "object", "array"], "additionalProperties": {}, "items": {}}
    default_error_messages = {**ERRORS, "invalid": "must be a string, an object or an array"}


class TextAndFormat(JsonOrText):
    """Text, or a JSON object or array, stored as text in the column `<name>` with a format in `<name>_format`.

    Loads to `(text, None)` or `(compact JSON, "json")`; the schema passes these to `split_formats` in a hook. Dumps
    the two attributes of an object to the value as it was sent.
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
    """A JSON object of any content, with at most `maximum` names if that is given."""

    types = (dict,)
    described = {"type": "object", "additionalProperties": {}}
    default_error_messages = {**ERRORS, "invalid": "must be an object"}

    def __init__(self, *, maximum: int | None = None, **kwargs: Any) -> None:
        self.maximum = maximum
        described = {} if maximum is None else {"maxProperties": maximum}
        super().__init__(metadata={**described, **kwargs.pop("metadata", {})}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if self.maximum is not None and isinstance(value, dict) and len(value) > self.maximum:
            raise ValidationError(f"must have at most {self.maximum} names")
        return super()._deserialize(value, attr, data, **kwargs)


class JsonArray(_Json):
    """A JSON array of any content."""

    types = (list,)
    described = {"type": "array", "items": {}}
    default_error_messages = {**ERRORS, "invalid": "must be an array"}
