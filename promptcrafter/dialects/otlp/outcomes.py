"""What became of the items that exporters send. `server/metrics.py` counts it."""

from enum import StrEnum

from blinker import Signal

from promptcrafter.dialects.otlp.signals import LOGS, METRICS, TRACES


class Outcome(StrEnum):
    """What became of an item."""

    LOG = "log"
    STEP = "step"
    EVENT = "event"  # content of a span
    SCORE = "score"
    UNRELATED = "unrelated"  # to models and agents: dropped
    REJECTED = "rejected"  # breaks a rule, which the response names


# What may become of each kind of item
OUTCOMES = {
    TRACES.item: (Outcome.LOG, Outcome.STEP, Outcome.UNRELATED, Outcome.REJECTED),
    LOGS.item: (Outcome.EVENT, Outcome.SCORE, Outcome.UNRELATED, Outcome.REJECTED),
    METRICS.item: (Outcome.UNRELATED,),
}
items_handled = Signal("Sent after a request; `item` names the kind, and `outcomes` maps each `Outcome` to a number.")
