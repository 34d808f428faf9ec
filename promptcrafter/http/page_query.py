"""The query parameters that every list takes: the size of a page, the cursor that it begins after, and `bom`."""

from marshmallow import Schema, validate

from promptcrafter.database.keyset import MINUS
from promptcrafter.http.fields import QueryInteger, Text

MAX_PER_PAGE = 1000
DEFAULT_PER_PAGE = 100  # if a request has a cursor and no per_page
# The numbers in a cursor, as regular expressions: the rank of a score, milliseconds since 1970 (imports have times from
# 1969-12-31 to 9999-12-31), and the sequence number of a row, which is a BIGINT
RANK, TIME, SEQUENCE = "[0-9]{1,19}", f"({MINUS}?[0-9]{{1,14}}|[12][0-9]{{14}})", "[0-9]{1,18}"


class Cursor(Text):
    """The sort values of the last row of the previous page: whole numbers with hyphens between them.

    `numbers` is a regular expression for them. Times are in milliseconds since 1970.
    """

    def __init__(self, numbers: str) -> None:
        description = "Where the page begins; taken from the `Link` header of the previous page."
        super().__init__(metadata={"pattern": f"^{numbers}$", "description": description})
        self.validators.append(validate.Regexp(rf"{numbers}\Z", error="is not one that this list gave"))


def bom_field() -> Text:
    """Return the query parameter of everything that is also sent as CSV."""
    description = "With 1, CSV begins with a byte order mark, by which Excel recognises UTF-8"
    return Text(choices=("0", "1"), metadata={"description": description})


class PageQuery(Schema):
    """The query parameters of a list. The cursor fits lists that are sorted by time and sequence number."""

    per_page = QueryInteger(
        minimum=1,
        maximum=MAX_PER_PAGE,
        metadata={"description": "Rows per page; without it the whole list is returned."},
    )
    cursor = Cursor(f"{TIME}-{SEQUENCE}")
    bom = bom_field()
