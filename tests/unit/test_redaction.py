"""What must not be in a report is not, and what a reader needs stays."""

from __future__ import annotations

import base64
import hashlib

import pytest

from dispycos.commands.redaction import GONE, Redaction

pytestmark = pytest.mark.row("SE-57")

# Looks like any key, and is the same in each process: a test's name holds it.
KEY = hashlib.sha256(b"no key at all").digest()

CLEAN = Redaction("/home/me", ["planted-secret"])


@pytest.mark.parametrize(
    "text",
    [
        "a planted-secret in the middle",
        f"key {KEY.hex()}",
        f"http://localhost:8181/#token={base64.urlsafe_b64encode(KEY).decode()}",
        "dispycosnode --secret SESAME -c 2",
        "--secret=SESAME",
        'Client(secret="SESAME")',
        "{'password': 'SESAME'}",
        "DB_PASSWORD=SESAME",
        "Authorization: Bearer SESAME",
        "https://user:SESAME@host/path",
        "-----BEGIN PRIVATE KEY-----\nSESAME\n-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nSESAME cut off",
    ],
)
def test_a_secret_is_not_told(text: str) -> None:
    cleaned = CLEAN.text(text)
    assert GONE in cleaned and "SESAME" not in cleaned and "planted" not in cleaned
    assert not any(len(word) > 30 for word in cleaned.replace("=", " ").split())


@pytest.mark.parametrize(
    "text",
    [
        "the secret has fewer than 8 characters",
        'secret_file = "/etc/dispycos/key"  # default',
        "fingerprint e5b5af230ecf0823, the same on every machine",
        "node n1 at 10.0.0.1:9706 is silent; 4 of 4 servers run",
        "/usr/lib/python3/dist-packages/dispycos/node/daemon.py, line 12",
        "authentication failed: the peer does not know our key",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert CLEAN.text(text) == text


def test_homes_lose_their_names() -> None:
    assert CLEAN.text("/home/me/a.py /home/me2/b /home/you/c /Users/you") == (
        "~/a.py /home/USER/b /home/USER/c /Users/USER"
    )


def test_values_are_cleaned_by_name_and_at_any_depth() -> None:
    found = CLEAN.values({"DISPYCOS_SECRET": "x", "a": [{"token": "y", "n": 1}, "/home/me/planted-secret"]})
    assert found == {"DISPYCOS_SECRET": GONE, "a": [{"token": GONE, "n": 1}, f"~/{GONE}"]}
