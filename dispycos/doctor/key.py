"""The key of this account, as a program that starts now would use it.

I/O half. Layer 8. Rows SE-01, SE-02, SE-05.
"""

from __future__ import annotations

from dispycos.configuration import settings
from dispycos.doctor.finding import Finding, good, note, wrong
from dispycos.keyfile import KeySource, fingerprints
from dispycos.net.keys import Keyring
from dispycos.wording import many

_COMPARE = "`dispycos key fingerprint` on the other machines must show the same one"


def look(secret: str, secret_file: str | None) -> tuple[Keyring | None, list[Finding]]:
    """The keys, and what is to be said of them. A key is never made here."""
    try:
        source = KeySource(secret, secret_file)
        if source.path is None:
            keyring = source.load()
            told = f"a secret was given; its fingerprint is {keyring.own.fingerprint}"
            return keyring, [good("key", f"{told}; {_COMPARE}")]
        prints = fingerprints(source.path if secret_file else None)
        keyring = source.load()
    except FileNotFoundError as exc:
        return None, [_missing(str(exc.filename), named=bool(secret_file or settings.secret_file()))]
    except (OSError, ValueError) as exc:
        return None, [wrong("key", str(exc), "the sentence says what mends it")]
    found = [good("key", f"{source.path} is good; fingerprint {prints[0]}; {_COMPARE}")]
    if prints[1:]:
        others = many(len(prints) - 1, "more key of that file is", "more keys of that file are")
        found.append(note("key", f"{others} accepted too (a rotation)"))
    return keyring, found


def _missing(path: str, *, named: bool) -> Finding:
    if named:
        return wrong("key", f"{path} does not exist", "name the file, or copy it from a machine that has it")
    return note(
        "key",
        f"{path} does not exist yet: the first program of this account makes it",
        "for machines that have a key already, copy the file from one of them before that (scp, mode 600)",
    )
