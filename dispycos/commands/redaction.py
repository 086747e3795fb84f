"""What a report must not tell: keys, tokens, passwords, and where a person's files are.

Pure. Layer 8. Row SE-57.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

GONE = "[redacted]"
_SHORTEST = 4  # characters of a text that is looked for: shorter ones are in every word

_PATTERNS = (
    # A certificate's key, or anything else in that armour.
    re.compile(r"-----BEGIN [A-Z0-9 ]*-----.*?(-----END [A-Z0-9 ]*-----|\Z)", re.DOTALL),
    # Keys and tokens by their looks: 32 hexadecimal digits or 40 characters without a space on.
    # A path is none, for its parts are shorter.
    re.compile(r"(?<![\w-])[0-9a-fA-F]{32,}(?![\w-])"),
    re.compile(r"(?<![\w/.-])[A-Za-z0-9_+-]{40,}={0,2}(?![\w/.-])"),
)
# Whatever stands behind such a word; the name of a file is no secret.
_NAMED = re.compile(
    r"(?i)([\w-]*(?:secret|passw(?:or)?d|passphrase|token|api[_-]?key|authorization|credential)s?)(?!_file)"
    r"(\"?'?\s*[=:]\s*\"?'?(?:bearer\s+|basic\s+)?|\s+)([^\s\"',;&]+)"
)
_BEHIND_SPACE = re.compile(r"(?i)^--?[\w-]*(?:secret|passw(?:or)?d|token)$")
_IN_URL = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
_HOMES = re.compile(r"(?<![\w.])(/home/|/Users/)[^/\s\"':,;]+")


class Redaction:
    """Cleans texts.

    home     of the account: it becomes ~; of other accounts the name becomes USER.
    secrets  texts that are known to be secret, wherever they stand.
    """

    def __init__(self, home: str, secrets: Iterable[str] = ()) -> None:
        self._home = home.rstrip("/")
        # The longest first: one may be a part of another.
        self._secrets = sorted({one for one in secrets if len(one) >= _SHORTEST}, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Without what must not be told."""
        for secret in self._secrets:
            text = text.replace(secret, GONE)
        for pattern in _PATTERNS:
            text = pattern.sub(GONE, text)
        text = _NAMED.sub(_hidden, text)
        text = _IN_URL.sub(GONE, text)
        if self._home:
            text = re.sub(re.escape(self._home) + r"(?![\w.-])", "~", text)
        return _HOMES.sub(r"\1USER", text)

    def values(self, found: Any) -> Any:
        """As `text`, for all texts in lists and dicts; names are cleaned like values."""
        if isinstance(found, str):
            return self.text(found)
        if isinstance(found, dict):
            return {
                self.text(str(name)): GONE if _is_secret(name, one) else self.values(one)
                for name, one in found.items()
            }
        if isinstance(found, list | tuple):
            return [self.values(one) for one in found]
        return found


def _hidden(match: re.Match[str]) -> str:
    name, between, value = match.groups()
    # "the secret has fewer than 8 characters" is a sentence; "--secret abc" is none.
    if between.isspace() and not _BEHIND_SPACE.match(name):
        return match[0]
    return f"{name}{between}{GONE if value != GONE else value}"


def _is_secret(name: object, value: object) -> bool:
    """Whether a value is one by its name."""
    bare = str(name).lower()
    known = ("secret", "password", "token", "credential", "authorization")
    return isinstance(value, str) and bool(value) and bare.endswith(known)
