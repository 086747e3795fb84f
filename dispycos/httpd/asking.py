"""Asking a monitor from a terminal, by the address that it printed.

I/O half. Layer 7. Rows MO-24.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

WITHIN = 10.0  # seconds for an answer
_MAX_ANSWER = 8 * 1024 * 1024


def why(link: str) -> str:
    """Why nothing runs, as the monitor's own page says it.

    link  the printed address with its token. ValueError if it is none; OSError says what went wrong.
    """
    return str(_get(link, "/api/v1/why")["text"])


def _get(link: str, path: str) -> Any:
    parts = urlsplit(link.strip())
    token = parts.fragment.removeprefix("token=")
    if parts.scheme not in ("http", "https") or not parts.hostname or not parts.fragment.startswith("token="):
        raise ValueError("give the address as the monitor printed it: http://HOST:PORT/#token=...")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=WITHIN)
    where = f"the monitor at {parts.hostname}:{parts.port}"
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read(_MAX_ANSWER)
    except ssl.SSLCertVerificationError as exc:
        raise OSError(
            f"the certificate of {where} is not trusted: {exc.verify_message}; name the file with it, or "
            "with its authority, in the environment: SSL_CERT_FILE"
        ) from None
    except (OSError, http.client.HTTPException) as exc:
        raise OSError(f"{where} does not answer: {exc}; does its program still run?") from None
    finally:
        connection.close()
    if answer.status == 401:
        raise OSError(f"{where} does not know this token: another program may answer there now")
    if answer.status != 200:
        raise OSError(f"{where} answered {answer.status} {answer.reason}")
    return json.loads(body)
