"""What a line brings along and what it refers to, so that a file can be checked before any of it is stored."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Key = tuple[str, ...]  # what kind of thing, the id of what it is part of if it is part of something, and its name


class Reference(NamedTuple):
    """A field of a line and the thing that it names."""

    field: str
    key: Key


def defined_by(kind: str, values: Mapping[str, Any]) -> Iterator[Reference]:
    """Yield what a line of this type, loaded to columns, brings along; no two lines may bring the same."""
    if kind == "version":
        yield Reference("version", (kind, values["prompt_id"], str(values["number"])))
        for place, label in enumerate(values["labels"]):
            yield Reference(f"labels.{place}", ("label", values["prompt_id"], label))
        return
    yield Reference("_id", (kind, values["id"]))
    if kind in ("prompt", "experiment"):
        yield Reference("slug", (f"{kind} slug", values["slug"]))
    if kind == "experiment":
        for place, variant in enumerate(values["variants"]):
            yield Reference(f"variants.{place}.key", ("variant", values["id"], variant["key"]))


def referred_to_by(kind: str, values: Mapping[str, Any]) -> Iterator[Reference]:
    """Yield what a line of this type, loaded to columns, needs to be there."""
    if kind == "experiment":
        for place, variant in enumerate(values["variants"]):
            if "prompt_id" in variant:
                yield Reference(f"variants.{place}.promptId", ("prompt", variant["prompt_id"]))
    if kind in ("prompt", "experiment"):
        return
    for name, field in (("prompt", "promptId"), ("experiment", "experimentId"), ("trace", "traceId")):
        if f"{name}_id" in values:
            yield Reference(field, (name, values[f"{name}_id"]))
    if "prompt_version" in values:
        yield Reference("promptVersion", ("version", values["prompt_id"], str(values["prompt_version"])))
    if "variant_key" in values:
        yield Reference("variantKey", ("variant", values["experiment_id"], values["variant_key"]))
