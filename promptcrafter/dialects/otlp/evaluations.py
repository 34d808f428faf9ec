"""Results of evaluations, in the event `gen_ai.evaluation.result` of a span or of a log record. Pure functions."""

from typing import Any

from promptcrafter.dialects.otlp.attributes import first_text
from promptcrafter.dialects.otlp.spans import Attributes
from promptcrafter.scores.schemas import CATEGORY_MAX, COMMENT_MAX

_NAME, _VALUE, _LABEL = "gen_ai.evaluation.name", "gen_ai.evaluation.score.value", "gen_ai.evaluation.score.label"
_EXPLANATION = "gen_ai.evaluation.explanation"
_NAME_MAX = 1000  # characters: a name that is too long is not cut to that of another score


def to_score(attributes: Attributes) -> dict[str, Any] | None:
    """Return a result as a score that `scores.reported.fit` takes; None if it has no name, or neither value nor label.

    Where there are both, the value is the score and the label stands in the comment.
    """
    name = first_text(attributes, (_NAME,), _NAME_MAX)
    value, label = attributes.get(_VALUE), first_text(attributes, (_LABEL,), CATEGORY_MAX)
    if isinstance(value, bool) or not isinstance(value, int | float):
        value, label = label, None
    if not name or value is None:
        return None
    texts = (label, first_text(attributes, (_EXPLANATION,), COMMENT_MAX))
    comment = ": ".join(text for text in texts if text)[:COMMENT_MAX]
    return {"name": name, "value": value, "annotator": "judge", "comment": comment or None}
