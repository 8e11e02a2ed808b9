"""Text from outside, made fit to be shown: in terminals and logs, in HTML, and wherever URLs are.

Names of files, attributes and messages of libraries come from whoever wrote the data.  A terminal
obeys control characters in them, a browser tags, and a URL may hold a password.  All that prints or
writes goes through one of these; `tests/test_safe_text.py` knows every such place.
"""

import html
import logging
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["as_html", "logger", "one_line", "shown", "without_secrets"]

# control characters but tab and newline, what turns the direction of text, line separators of
# Unicode, and what cannot be encoded: bytes of names that are no text
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.\-]*://)([^\s'\"<>]+)")


def shown(text: object) -> str:
    r"""Return text that a terminal only shows, with what it would obey as an escape.

    Examples
    --------
    >>> print(shown("a\x1b[31m.nc is\r\nthere"))
    a\x1b[31m.nc is\x0d
    there
    >>> shown("s3://ana:secret@host/a.zarr cannot be opened")
    's3://host/a.zarr cannot be opened'
    """
    plain: str = without_secrets(str(text))
    return _UNFIT.sub(lambda found: _escape(found[0]), plain)


def one_line(text: object) -> str:
    r"""Return the same on one line, for a row of a list.

    Examples
    --------
    >>> print(one_line("a.nc\nError: all is lost"))
    a.nc\x0aError: all is lost
    """
    return shown(text).replace("\n", _escape("\n"))


def as_html(text: object) -> str:
    """Return text that a browser only shows.

    Examples
    --------
    >>> as_html("<b>a & b</b>")
    '&lt;b&gt;a &amp; b&lt;/b&gt;'
    """
    return html.escape(shown(text))


def without_secrets(value: Any) -> Any:
    """Return text, or all texts in a JSON document, with no user, password or query in their URLs.

    Examples
    --------
    >>> without_secrets({"out": ["https://ana:pw@host:80/x.zarr?token=1", "a/b?.h5"]})
    {'out': ['https://host:80/x.zarr', 'a/b?.h5']}
    """
    if isinstance(value, str):
        return _URL.sub(_public, value) if "://" in value else value
    if isinstance(value, Mapping):
        return {without_secrets(key): without_secrets(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(held) for held in value]
    return value


def logger(name: str = "dasdist") -> logging.Logger:
    """Return a logger whose messages are shown, not obeyed."""
    found = logging.getLogger(name)
    if not any(isinstance(one, _Shown) for one in found.filters):
        found.addFilter(_Shown())
    return found


class _Shown(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Take every record, and make it fit."""
        record.msg, record.args = shown(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = shown(logging.Formatter().formatException(record.exc_info))
        return True


def _escape(characters: str) -> str:
    return "".join(
        f"\\x{ord(one):02x}" if ord(one) < 256 else f"\\u{ord(one):04x}" for one in characters
    )


def _public(found: re.Match[str]) -> str:
    scheme, rest = found.groups()
    head = rest.partition("/")[0]
    _, colon, password = head.partition(":")
    if "@" in head:
        rest = head.rpartition("@")[2] + rest[len(head) :]
    elif "@" in rest and colon and not password.isdecimal():  # a password with a slash
        rest = rest.rpartition("@")[2]
    return scheme + re.split("[?#]", rest, maxsplit=1)[0]
