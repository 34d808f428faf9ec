"""Pictures, sounds and files inside of messages: what is kept of them is what they are, not their bytes.

They arrive as base64, in a `data:` URL or beside the name of their media type, and again in each step of a run and in
each turn of a conversation. Base64 longer than MEDIA_MAX becomes an object with `mediaType`, `bytes` and `sha256` of
what it decodes to, by which a file that is kept elsewhere can be found. Pure functions.
"""

import binascii
import hashlib
import re
from typing import Any

from promptcrafter.jsonio import dumps

MEDIA_MAX = 4096  # characters of base64 that stay as they are
_MARK = ";base64,"
_LINE_MIN = 60  # characters of a line of base64: shorter lines are those of a text
_HEADER_MAX = 200  # characters of a `data:` URL before the base64
_HEADER = re.compile(r"data:([A-Za-z0-9.+-]{1,100}/[A-Za-z0-9.+-]{1,100})?[^,\s]{0,100}")
_ALPHABET = re.compile(r"[A-Za-z0-9+/=_-]*+")
# The keys beside base64 that name its media type, in the conventions and in the APIs of providers
_TYPES = ("mime_type", "mimeType", "media_type", "mediaType", "mimetype", "format")
_KINDS = frozenset(  # values of `type` of an object that holds base64
    (
        *("blob", "binary", "base64", "image", "audio", "video", "file", "document", "input_audio", "input_image"),
        *("image_url", "image_generation_call", "input_file", "media", "data"),
    )
)
_HOLDERS = frozenset(("inline_data", "inlineData", "input_audio", "source", "file", "audio", "image", "image_url"))
_BASE64_KEYS = frozenset(("b64_json", "base64", "file_data", "partial_image_b64"))
_KINDS_OF_FORMATS = {
    **dict.fromkeys(("wav", "mp3", "flac", "opus", "aac", "pcm16", "m4a", "ogg"), "audio"),
    **dict.fromkeys(("png", "jpeg", "jpg", "webp", "gif"), "image"),
    **dict.fromkeys(("mp4", "webm", "mov"), "video"),
}
_TRANSLATION = str.maketrans("-_", "+/")


def describe_media(value: Any) -> Any:
    """Return a JSON value with base64 that is longer than MEDIA_MAX replaced by its description."""
    return _describe(value, None, is_media=False)


def _describe(value: Any, media_type: str | None, *, is_media: bool) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MEDIA_MAX else _describe_text(value, media_type, is_media=is_media)
    if isinstance(value, list):
        return [_describe(item, media_type, is_media=is_media) for item in value]
    if not isinstance(value, dict):
        return value
    named = next((value[key] for key in _TYPES if isinstance(value.get(key), str)), None)
    kind = value.get("type")
    is_holder = is_media or named is not None or (isinstance(kind, str) and kind in _KINDS)
    inner = media_type if named is None else _to_media_type(named)
    return {
        key: item
        if isinstance(item, int | float) or item is None
        else _describe(item, inner, is_media=is_holder or key in _HOLDERS or key in _BASE64_KEYS)
        for key, item in value.items()
    }


def _describe_text(text: str, media_type: str | None, *, is_media: bool) -> Any:
    if text.startswith("data:"):
        end = text.find(_MARK, 0, _HEADER_MAX)
        header = _HEADER.fullmatch(text, 0, end) if end > 0 else None
        if header is not None and (found := _decode(text[end + len(_MARK) :])) is not None:
            return _to_description(found, header[1] or media_type)
    if is_media and (found := _decode(text)) is not None:
        return _to_description(found, media_type)
    return _describe_urls(text) if _MARK in text else text


def _describe_urls(text: str) -> str:
    """Return a text with the long `data:` URLs in it replaced by the JSON of their descriptions."""
    pieces, done, mark = [], 0, text.find(_MARK)
    while mark >= 0:
        begin = mark + len(_MARK)
        end = _ALPHABET.match(text, begin).end()  # type: ignore[union-attr]  # it matches nothing, too
        start = text.rfind("data:", max(done, mark - _HEADER_MAX), mark)
        header = _HEADER.fullmatch(text, start, mark) if start >= 0 else None
        found = _decode(text[begin:end]) if header is not None and end - begin > MEDIA_MAX else None
        if header is not None and found is not None:
            pieces += [text[done:start], dumps(_to_description(found, header[1]))]
            done = end
        mark = text.find(_MARK, end)
    return "".join([*pieces, text[done:]])


def _decode(text: str) -> bytes | None:
    """Return what base64 decodes to, in either alphabet and with line breaks and padding or without; else None."""
    if not text.isascii() or 0 <= text.find("\n") < _LINE_MIN:
        return None
    bare = text.replace("\r", "").replace("\n", "").translate(_TRANSLATION).rstrip("=")
    try:
        return binascii.a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)
    except binascii.Error:
        return None


def _to_description(data: bytes, media_type: str | None) -> dict[str, Any]:
    described = {"mediaType": media_type, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return {name: value for name, value in described.items() if value is not None}


def _to_media_type(name: str) -> str:
    kind = _KINDS_OF_FORMATS.get(name.lower())
    return name if kind is None else f"{kind}/{name}"
