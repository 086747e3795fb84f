"""What a report must not tell: keys, tokens, passwords, and where a person's files are.

Pure. Layer 8. Row SE-57.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from typing import Any

GONE = "[redacted]"
LONGEST = 2000  # characters of a line; what is behind them is left out
_SHORTEST = 4  # characters of a text that is looked for: shorter ones are in every word

# A certificate's key, or anything else in that armour; cut off, it lasts to the end.
_ARMOUR = re.compile(r"-----BEGIN [A-Z0-9 ]*-----.*?(-----END [A-Z0-9 ]*-----|\Z)", re.DOTALL)
# What may be a key or a token by its looks: see `_unlike_a_key`.
_RUN = re.compile(r"[A-Za-z0-9_+/=.-]{32,}")
_PART = re.compile(r"[A-Za-z0-9_-]+")
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{32,}")
_KINDS = re.compile(r"[a-z]+|[A-Z]+|[0-9]+")
_BETWEEN = re.compile(r"[_+/=.-]+")
_OF_KEYS = string.ascii_letters + string.digits + "_+/=.-"
# Behind such a word nothing of the line is told: what a secret may look like, quoted, escaped or in
# a list, is more than can be written down. The name of a file is no secret.
_NAMED = re.compile(
    r"(?i)((?:secret|passw|passphrase|passcode|pwd|token|credential|authorization|bearer|cookie"
    r"|(?:api|private|access|auth|signing|encryption)[_ -]?key"
    r"|(?:key|pass|pw)(?=[\"'\\]*\s?[=:]))"
    r"(?!s?[_ -]?file)\w*|(?<![\w-])(?-i:-s))([^\n]*)"
)
_WORD = re.compile(r"\S+")
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
        # Long lines are cut before anybody looks for patterns in them.
        text = "\n".join(map(_cut, text.split("\n")))
        text = _ARMOUR.sub(GONE, text)
        text = _NAMED.sub(_hidden, text)
        text = _WORD.sub(_without_account, text)
        text = _RUN.sub(_unlike_a_key, text)
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


def _cut(line: str) -> str:
    if len(line) <= LONGEST:
        return line
    # Half a key does not look like one.
    kept = line[:LONGEST].rstrip(_OF_KEYS)
    return f"{kept} [{len(line) - len(kept):,} characters more]"


def _hidden(match: re.Match[str]) -> str:
    name, rest = match.groups()
    return f"{name} {GONE}" if rest.strip() else match[0]


def _without_account(match: re.Match[str]) -> str:
    """A word without what stands between :// and @."""
    before, mark, rest = match[0].partition("://")
    account, at, host = rest.rpartition("@")
    return f"{before}{mark}{GONE}@{host}" if account and at else match[0]


def _unlike_a_key(match: re.Match[str]) -> str:
    """The run, without what looks like a key: 32 hexadecimal digits, or 40 characters.

    The parts of a path are shorter. Where capitals, small letters and digits change as often as
    they do by chance, the whole run is one, whatever stands between: base64, or a token with dots.
    """
    run = match[0]
    bare = _BETWEEN.sub("", run)
    # By chance they change at 6 of 10 characters; in words and versions at about 2.
    if len(bare) >= 36 and len(_KINDS.findall(bare)) > 0.3 * len(bare):
        return GONE
    return _PART.sub(_part, run)


def _part(match: re.Match[str]) -> str:
    part = match[0]
    # Words between dashes are shorter, and a line of dashes has none.
    long = len(part) >= 40 and max(map(len, re.split("[_-]", part))) >= 12
    return GONE if long or _HEXADECIMAL.fullmatch(part) else part


def _is_secret(name: object, value: object) -> bool:
    """Whether a value is one by its name."""
    told = isinstance(value, bool) or not value  # nothing that could be kept from anybody
    return not told and _NAMED.search(f"{name}=") is not None
