"""Keys by which outputs of the same input are found: statistics compare such outputs pair by pair."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def find_input_key(values: Mapping[str, Any]) -> int | None:
    """Return the key of a log's input, a signed number of 64 bits: equal for equal inputs. None without an input.

    `values` are columns of a log. The input is what was sent to the model, or else the variables, in any order.
    """
    text, variables = values.get("input"), values.get("variables")
    if text is None and variables is None:
        return None
    if text is None:  # no input begins with NUL, which cannot be stored
        text = "\0" + json.dumps(variables, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
