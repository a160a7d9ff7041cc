"""Reading a payload field by field, so that whatever is wrong with it is told by the field's name.

Rules:
1. Any JSON at all ends in a value of the type asked for, or in BadPayload naming the field. Nothing else is raised.
2. Text is made fit to store and show: no NUL, no lone surrogate, bounded. Refs and hashes are not mended but refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from farmgate.errors import BadPayload
from farmgate.refs import HEADS, is_nothing, is_ref, is_sha

LONGEST_TEXT: Final = 1000
LONGEST_URL: Final = 2048
_LARGEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Fields:
    """An object of the payload and the way to it."""

    data: dict[str, Any]
    way: str = ""

    def has(self, key: str) -> bool:
        """True if the field is there and is not null."""
        return self.data.get(key) is not None

    def below(self, key: str) -> Fields:
        """The object in a field."""
        value = self._get(key, dict, "an object")
        return Fields(value, self._name(key))

    def maybe(self, key: str) -> Fields | None:
        """The object in a field, if it is there and is not null."""
        return self.below(key) if self.has(key) else None

    def each(self, key: str) -> Iterator[Fields]:
        """The objects of a list."""
        for index, value in enumerate(self._get(key, list, "a list")):
            name = f"{self._name(key)}[{index}]"
            if not isinstance(value, dict):
                raise BadPayload(f"{name} is not an object")
            yield Fields(value, name)

    def raw(self, key: str) -> str:
        """A text as it stands."""
        text: str = self._get(key, str, "text")
        return text

    def text(self, key: str, otherwise: str | None = None) -> str:
        """A text to show; `otherwise` where it is missing or null."""
        return otherwise if otherwise is not None and not self.has(key) else shown(self.raw(key))

    def url(self, key: str) -> str | None:
        """An address; None where it is missing, empty or no address at all."""
        text = self.raw(key) if self.has(key) else ""
        return text if text and text.isprintable() and len(text) <= LONGEST_URL else None

    def number(self, key: str) -> int:
        """A positive whole number."""
        value: int = self._get(key, int, "a whole number")
        if isinstance(value, bool) or not 0 < value <= _LARGEST:
            raise BadPayload(f"{self._name(key)} is not a positive whole number")
        return value

    def sha(self, key: str) -> str | None:
        """A whole hash; None for git's hash of zeros."""
        text = self.raw(key).lower()
        if is_nothing(text):
            return None
        if not is_sha(text):
            raise BadPayload(f"{self._name(key)} is not a whole commit hash")
        return text

    def ref(self, key: str, prefix: str = "") -> str:
        """A full ref; `prefix` (refs/heads/) is put before a short name."""
        text = self.raw(key)
        full = text if text.startswith("refs/") and prefix != "" else prefix + text
        if not is_ref(full):
            raise BadPayload(f"{self._name(key)} is not the name of a ref")
        return full

    def branch(self, key: str) -> str:
        """A branch's short name, as a full ref."""
        return self.ref(key, HEADS)

    def _name(self, key: str) -> str:
        return f"{self.way}.{key}" if self.way else key

    def _get(self, key: str, kind: type, called: str) -> Any:
        if key not in self.data:
            raise BadPayload(f"{self._name(key)} is missing")
        value = self.data[key]
        if not isinstance(value, kind):
            raise BadPayload(f"{self._name(key)} is not {called}")
        return value


def read_body(body: bytes, content_type: str) -> Fields:
    """The payload: JSON, or a form with the JSON in its field `payload`. Raises BadPayload."""
    try:
        text: str | bytes = body
        if content_type.lower().startswith("application/x-www-form-urlencoded"):
            text = parse_qs(body.decode(), strict_parsing=True, max_num_fields=10)["payload"][0]
        data = json.loads(text)
    except KeyError:
        raise BadPayload("the form has no field 'payload'") from None
    except RecursionError:
        raise BadPayload("the body is nested too deeply") from None
    except ValueError as error:  # not UTF-8, not JSON, a number with too many digits
        raise BadPayload(f"the body is not JSON: {error}"[:200]) from None
    if not isinstance(data, dict):
        raise BadPayload("the body is not a JSON object")
    return Fields(data)


def shown(text: str) -> str:
    """A stranger's text, fit to be stored and shown."""
    return text[:LONGEST_TEXT].replace("\0", "\ufffd").encode(errors="replace").decode()
