"""Which keys a record defines and which it refers to, so that a file can be checked before any of it is stored."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

# The kind of key, the id of the parent if there is one, and the name: ("prompt", id), ("version", prompt id, "3"),
# ("label", prompt id, label), ("variant", experiment id, variant key), ("prompt slug", slug),
# ("score of", log id, name, annotator, rater, identifier), ("span", trace id, client's id)
Key = tuple[str, ...]


class Reference(NamedTuple):
    """A field of a record, by its path in JSON, and the key that it defines or refers to."""

    field: str
    key: Key


def get_score_key(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what tells the scores of a workspace apart: log, name, annotator, rater and identifier."""
    return tuple(values[name] for name in ("log_id", "name", "annotator", "rater", "identifier"))


def get_span_key(values: Mapping[str, Any]) -> tuple[str, str]:
    """Return what tells the spans of a workspace apart that have lines of their own: trace and id."""
    return values["trace_id"], values["span_id"]


def defined_keys(kind: str, values: Mapping[str, Any]) -> Iterator[Reference]:
    """Yield the keys that a record of this type with these column values defines. Each must be unique in a file."""
    if kind == "version":
        yield Reference("version", (kind, values["prompt_id"], str(values["number"])))
        for index, label in enumerate(values["labels"]):
            yield Reference(f"labels.{index}", ("label", values["prompt_id"], label))
        return
    if kind == "span":
        yield Reference("id", (kind, *get_span_key(values)))
        return
    if kind == "scoreConfig":
        yield Reference("name", (kind, values["name"]))
        return
    yield Reference("_id", (kind, values["id"]))
    if kind in ("prompt", "experiment"):
        yield Reference("slug", (f"{kind} slug", values["slug"]))
    if kind == "score":
        yield Reference("logId", ("score of", *get_score_key(values)))
    if kind == "experiment":
        for index, variant in enumerate(values["variants"]):
            yield Reference(f"variants.{index}.key", ("variant", values["id"], variant["key"]))


def referenced_keys(kind: str, values: Mapping[str, Any]) -> Iterator[Reference]:
    """Yield the keys that must exist before a record of this type with these column values can be stored."""
    if kind == "experiment":
        for index, variant in enumerate(values["variants"]):
            if "prompt_id" in variant:
                yield Reference(f"variants.{index}.promptId", ("prompt", variant["prompt_id"]))
            if "prompt_version" in variant:
                version = ("version", variant["prompt_id"], str(variant["prompt_version"]))
                yield Reference(f"variants.{index}.promptVersion", version)
    if kind in ("prompt", "experiment"):
        return
    for name, field in (
        *(("prompt", "promptId"), ("experiment", "experimentId")),
        *(("trace", "traceId"), ("log", "logId")),
    ):
        if f"{name}_id" in values:
            yield Reference(field, (name, values[f"{name}_id"]))
    if "prompt_version" in values:
        yield Reference("promptVersion", ("version", values["prompt_id"], str(values["prompt_version"])))
    if "variant_key" in values:
        yield Reference("variantKey", ("variant", values["experiment_id"], values["variant_key"]))
