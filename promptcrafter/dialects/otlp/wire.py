"""Protobuf's wire format (https://protobuf.dev/programming-guides/encoding), as far as it takes no schema.

The frame of a request is read here, not by the library: so each item is parsed by itself, and a bad one costs only
itself; the numbers of parts are checked before memory is spent on them, of which the library takes forty times the size
of an empty message. The few fields of responses are written here, so that errors do not load the library.
"""

from collections.abc import Iterator, Mapping

Place = tuple[int, int]  # the positions of the first byte of something, and of the byte after it
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_MAX = 10  # bytes
OTHER = 0  # stands for the number of a field whose value is a number; no field has it


class Malformed(ValueError):
    """The bytes are not in the wire format."""


def read_fields(data: bytes | memoryview, place: Place) -> Iterator[tuple[int, Place]]:
    """Yield the number and the place of each field that holds bytes, and `OTHER` for each other one. Raises Malformed.

    Groups, which protobuf has given up, are malformed.
    """
    at, end = place
    while at < end:
        tag, at = _read_varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        start = at
        if kind == _BYTES:
            size, start = _read_varint(data, at, end)
            at = start + size
        elif kind == _VARINT:
            _, at = _read_varint(data, at, end)
        elif kind == _FIXED64:
            at += 8
        elif kind == _FIXED32:
            at += 4
        else:
            raise Malformed
        if at > end or number == 0:
            raise Malformed
        yield (number if kind == _BYTES else OTHER), (start, at)


def count_fields(data: bytes | memoryview, message: str, schema: Mapping[str, Mapping[int, str]], limit: int) -> int:
    """Return how many fields a message has, with those of the messages inside it; stop after `limit`. Raises Malformed.

    `schema` has, for each message, the numbers of the fields that hold messages, and which.
    """
    count = 0
    pending = [(message, (0, len(data)))]
    while pending:
        name, place = pending.pop()
        inner = schema[name]
        for number, within in read_fields(data, place):
            count += 1
            if count > limit:
                return count
            if number in inner:
                pending.append((inner[number], within))
    return count


def _read_varint(data: bytes | memoryview, at: int, end: int) -> tuple[int, int]:
    """Return the number, and the position after it."""
    value = shift = 0
    for position in range(at, min(end, at + _VARINT_MAX)):
        byte = data[position]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position + 1
        shift += 7
    raise Malformed


def write_number(field: int, value: int) -> bytes:
    """Return a field that holds a whole number; nothing for 0, as protobuf leaves it out."""
    return bytes([field << 3 | _VARINT]) + _write_varint(value) if value else b""


def write_text(field: int, value: str) -> bytes:
    """Return a field that holds text; nothing for an empty one."""
    return write_bytes(field, value.encode()) if value else b""


def write_bytes(field: int, value: bytes) -> bytes:
    """Return a field that holds bytes, or a message."""
    return bytes([field << 3 | _BYTES]) + _write_varint(len(value)) + value


def _write_varint(value: int) -> bytes:
    digits = []
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])
