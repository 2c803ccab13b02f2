"""Sends an event as a site's server would."""

from __future__ import annotations

from typing import Any

import httpx

from doublet.guide.pair import Sent
from doublet.probe.plain import in_words

_TIMEOUT_S = 15.0


def post(url: str, body: dict[str, Any], access_token: str) -> Sent:
    """What became of it; never raises for an answer or its lack."""
    try:
        answer = httpx.post(
            url,
            json=body,
            headers={"authorization": f"Bearer {access_token}"},
            timeout=_TIMEOUT_S,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Sent(url, message=in_words(error))
    message = ""
    if answer.status_code >= 400:
        try:
            message = str(answer.json()["error"]["error_user_msg"])
        except (ValueError, KeyError, TypeError):
            message = "not an answer of Doublet."
    refused = answer.headers.get("x-doublet-refused", "")
    return Sent(url, answer.status_code, refused, message)
