"""The form of an experiment: its name, and its variants with their shares and the versions that they are about."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from promptcrafter import clock, jsonio
from promptcrafter.experiments.models import Experiment
from promptcrafter.experiments.schemas import VARIANTS_MAX
from promptcrafter.http.schemas import BodySchema
from promptcrafter.pages.forms import Form, read_fields, read_form, read_rows
from promptcrafter.problems import Details
from promptcrafter.slugs import derive_slug

_COLUMNS = {
    "key": "key",
    "share": "trafficPercent",
    "prompt": "promptId",
    "version": "promptVersion",
    "payload": "payload",
}
# Beside them, of which prompt the versions are that a row offers
_FIELDS = (*_COLUMNS, "of")
_SLUG_MAX = 120
_SHARE_DIGITS = 3
_NEW_ROW = dict.fromkeys(_FIELDS, "")
BLANK = {"variants": [{**_NEW_ROW, "key": key, "share": "50"} for key in ("A", "B")]}


class ExperimentForm(NamedTuple):
    """What was sent, to be shown again; what it loads to; and the reasons against it by field."""

    sent: dict[str, Any]
    values: dict[str, Any]
    errors: Details
    is_unfinished: bool  # a row, one less, or the versions of prompts were asked for: nothing is to be stored


def read(schema: BodySchema, *, with_variants: bool, makes_slug: bool = False) -> ExperimentForm:
    """Return the form of the request. Rows of variants in which nothing but a share is filled in are left out.

    With `makes_slug`, a slug that is left empty is made from the name. Raises 400 for more than VARIANTS_MAX rows.
    """
    fields = read_fields()
    rows = [row for row in _read_rows() if any(row[name] for name in _COLUMNS if name != "share")]
    if "show-versions" in fields:
        rows = [{**row, "version": ""} if _is_of_other_prompt(row) else row for row in _read_rows()]
    if "remove-variant" in fields:
        rows = [row for number, row in enumerate(_read_rows()) if str(number) != fields["remove-variant"]]
    sent: dict[str, Any] = {**fields, "variants": rows}
    if not {"add-variant", "remove-variant", "show-versions"}.isdisjoint(fields):
        more = [dict(_NEW_ROW)] if "add-variant" in fields else []
        return ExperimentForm({**sent, "variants": [*rows, *more][:VARIANTS_MAX]}, {}, {}, True)
    faults: dict[str, list[str]] = {}
    converted: dict[str, Any] = {}
    if makes_slug and not fields.get("slug") and fields.get("name"):
        converted["slug"] = derive_slug(fields["name"])[:_SLUG_MAX]
    if with_variants:
        converted["variants"] = [_to_variant(number, row, faults) for number, row in enumerate(rows)]
    form: Form = read_form(schema, **converted)
    errors = {**form.errors, **faults}
    if "name" in errors and not fields.get("slug"):
        errors.pop("slug", None)  # it would have been made from the name
    return ExperimentForm(sent, form.values, to_fields(errors), False)


def to_fields(errors: Mapping[str, Sequence[str]]) -> Details:
    """Return errors by the fields of the form: those of a variant at `key-0`, `share-0` and so on."""
    names = {column: name for name, column in _COLUMNS.items()}
    by_field: Details = {}
    for name, reasons in errors.items():
        first, _, rest = name.partition(".")
        number, _, column = rest.partition(".")
        column = column.partition(".")[0]
        field = f"{names[column]}-{number}" if first == "variants" and column in names else first
        by_field.setdefault(field, []).extend(reasons)
    return by_field


def name_fields(sent: Mapping[str, Any]) -> list[str]:
    """Return the names of the fields that the form shows, which have their errors beside them."""
    of_variants = [f"{name}-{number}" for number in range(len(sent["variants"])) for name in _COLUMNS]
    return ["name", "slug", "variants", *of_variants]


def sum_shares(sent: Mapping[str, Any]) -> int | None:
    """Return the sum of the shares in the form; None if one of them is no number."""
    shares = [row["share"] for row in sent["variants"]]
    is_known = all(share.isascii() and share.isdecimal() and len(share) <= _SHARE_DIGITS for share in shares)
    return sum(map(int, shares)) if is_known else None


def write(experiment: Experiment) -> dict[str, Any]:
    """Return an experiment as the fields of the form."""
    return {
        "name": experiment.name,
        "slug": experiment.slug,
        "seen": clock.to_text(experiment.updated_at),
        "variants": [
            {
                "key": variant.key,
                "share": str(variant.traffic_percent),
                "prompt": variant.prompt_id or "",
                "of": variant.prompt_id or "",
                "version": "" if variant.prompt_version is None else str(variant.prompt_version),
                "payload": jsonio.dumps(variant.payload) if variant.payload else "",
            }
            for variant in experiment.variants
        ],
    }


def _read_rows() -> list[dict[str, str]]:
    rows = read_rows(_FIELDS, "variants", VARIANTS_MAX)
    return [{name: text.strip() for name, text in row.items()} for row in rows]


def _is_of_other_prompt(row: Mapping[str, str]) -> bool:
    """Return whether a version was chosen from those of another prompt, which was chosen before."""
    return bool(row["version"] and row["of"]) and row["of"] != row["prompt"]


def _to_variant(number: int, row: Mapping[str, str], faults: dict[str, list[str]]) -> dict[str, Any]:
    """Return the JSON of a variant; what cannot be read as JSON is added to the faults."""
    variant: dict[str, Any] = {"key": row["key"]}
    for name in ("share", "version"):
        if row[name]:
            variant[_COLUMNS[name]] = int(row[name]) if row[name].isdecimal() and len(row[name]) < 10 else row[name]
    if row["prompt"]:
        variant["promptId"] = row["prompt"]
    if _is_of_other_prompt(row):
        faults[f"variants.{number}.promptVersion"] = ["choose a version of this prompt"]
    if row["payload"]:
        try:
            variant["payload"] = jsonio.loads(row["payload"].encode())
        except jsonio.JsonError as error:
            faults[f"variants.{number}.payload"] = [str(error)]
    return variant
