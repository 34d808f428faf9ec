"""The table of stored aggregates."""

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from promptcrafter.database.base import DERIVED, Base
from promptcrafter.logs.models import AggregateScope


class DayAggregate(Base):
    """The aggregate of the logs of a day that have the same version and model, or more in common (decision 56).

    The logs are those of a prompt or of a workspace. What they have in common depends on the scope: see
    `statistics.log_rows.Grain`.
    """

    __tablename__ = "day_aggregates"
    __table_args__ = DERIVED

    scope_id: Mapped[str] = mapped_column(
        String(64), ForeignKey(AggregateScope.scope_id, ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # in UTC, counted from 1970
    prompt_version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # 0: unknown, or of a workspace
    # "": unknown; for a workspace's details, prompt and author before it
    model_used: Mapped[str] = mapped_column(Text, primary_key=True)
    cell: Mapped[bytes] = mapped_column(LargeBinary)  # in the form of `cells.Cell.dump`
