"""What must not be in a report is not, and what a reader needs stays."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest

from dispycos.commands.redaction import GONE, LONGEST, Redaction

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
        "dispycosnode --secret 'SESAME'",
        "dispycosnode -s SESAME -c 2",
        "['dispycosnode', '-s', 'SESAME']",
        r'{"kwargs": "{\"password\": \"SESAME\"}"}',
        "password=b'SESAME'",
        "password='a,SESAME'",
        "password: 'a SESAME'",
        "passphrase is SESAME",
        "tokens: ['x', 'SESAME']",
        "private_key=SESAME",
        "key: SESAME",
        "pwd=SESAME",
        "Authorization: Digest SESAME",
        "http://user:pa/SESAME@host",
        "http://SESAME@host",
        f"id eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{base64.urlsafe_b64encode(KEY).decode()}",
        "aws wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ],
)
def test_a_secret_is_not_told(text: str) -> None:
    cleaned = CLEAN.text(text)
    assert GONE in cleaned and "SESAME" not in cleaned and "planted" not in cleaned
    assert not any(len(word) > 30 for word in cleaned.replace("=", " ").split())


@pytest.mark.parametrize(
    "text",
    [
        "=== " + "-" * 60,
        "Linux-6.6.87.2-microsoft-standard-WSL2-x86_64-with-glibc2.39",
        "Linux-4.18.0-513.5.1.el8_9.x86_64-x86_64-with-glibc2.28",
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


@pytest.mark.parametrize("name", ["passphrase", "secrets", "credentials", "api_key", "DISPYCOS_PASSWD"])
@pytest.mark.parametrize("value", ["x", 12345678, ["x"], {"value": "x"}, b"x"])
def test_a_value_of_any_kind_is_not_told_behind_the_name_of_a_secret(name: str, value: object) -> None:
    assert CLEAN.values({name: value}) == {name: GONE}


@pytest.mark.parametrize(
    "unit", ["x", "/x", "f", "+", "-s", "secret", "://", "://a@", "key ", "-----BEGIN A", "\\"]
)
def test_a_line_of_any_length_is_looked_through_soon(unit: str) -> None:
    began = time.process_time()
    cleaned = CLEAN.text(unit * (1_000_000 // len(unit)))
    assert len(cleaned) < 2 * LONGEST
    # Patterns that look at each character from each one would take hours.
    assert time.process_time() - began < 2


def test_a_key_that_a_long_line_is_cut_in_is_left_out_whole() -> None:
    line = "word " * 395 + KEY.hex() + " more" * 100
    assert "characters more]" in CLEAN.text(line) and KEY.hex()[:8] not in CLEAN.text(line)
