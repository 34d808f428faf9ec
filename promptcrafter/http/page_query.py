"""The query parameters of every list: the size of a page and the cursor of the row that it begins behind."""

from marshmallow import Schema, validate

from promptcrafter.http.fields import QueryInteger, Text

MAX_PER_PAGE = 1000
# A cursor's numbers: the rank of a score, milliseconds since 1970 up to the year 5138, what a BIGINT holds
RANK, TIME, SEQUENCE = "[0-9]{1,19}", "[0-9]{1,14}", "[0-9]{1,18}"


class Cursor(Text):
    """The sort values of the last row shown: whole numbers joined by hyphens, times in milliseconds since 1970."""

    def __init__(self, numbers: str) -> None:
        description = "Where the page begins: taken from the `Link` header of the one before."
        super().__init__(metadata={"pattern": f"^{numbers}$", "description": description})
        self.validators.append(validate.Regexp(rf"{numbers}\Z", error="is not one that this list gave"))


class PageQuery(Schema):
    """The query parameters of every list; the cursor is of one sorted by time and sequence."""

    per_page = QueryInteger(
        minimum=1, maximum=MAX_PER_PAGE, metadata={"description": "Rows of a page; without it the list comes whole."}
    )
    cursor = Cursor(f"{TIME}-{SEQUENCE}")
