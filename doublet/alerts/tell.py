"""Telling alerts: one message when one opens, one when it closes, by signed webhook and e-mail.

What cannot be delivered is tried again in the next round; a message may therefore come twice, with
the same `alert_id` and `state`.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import smtplib
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import msgspec

from doublet.alerts.book import Alert, as_alert
from doublet.catalog import Catalog
from doublet.errors import SettingsError

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0

Channel = Callable[[Alert, str], None]
"""Delivers one alert with its state, opened or closed. Raises OSError or httpx.HTTPError."""


def webhook(url: str, secret_file: Path | None) -> Channel:
    """POST as JSON. With a secret the header `X-Doublet-Signature` is `sha256=` and the hex
    HMAC-SHA256 of the body. Raises SettingsError when the secret cannot be read."""
    try:
        secret = secret_file.read_bytes().strip() if secret_file else b""
    except OSError as error:
        raise SettingsError(
            f"alert_webhook_secret_file: {secret_file} cannot be read.", "Make it, or name another."
        ) from error

    def deliver(alert: Alert, state: str) -> None:
        body = msgspec.json.encode({"state": state, **msgspec.to_builtins(alert)})
        headers = {"content-type": "application/json"}
        if secret:
            digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
            headers["x-doublet-signature"] = f"sha256={digest}"
        httpx.post(url, content=body, headers=headers, timeout=TIMEOUT_S).raise_for_status()

    return deliver


def email(smtp_url: str, sender: str, to: str) -> Channel:
    """Send by `smtp://host:port`, `smtps://…` with TLS from the start, user and password in the
    URL. `to` may hold several addresses with commas."""
    server = urlsplit(smtp_url)
    if server.scheme not in ("smtp", "smtps") or not server.hostname:
        raise SettingsError(
            "alert_smtp_url is no address of a mail server.", "Write smtp://mail.example:25."
        )
    secure = server.scheme == "smtps"

    def deliver(alert: Alert, state: str) -> None:
        message = EmailMessage()
        # An event's name is the sender's affair; it must not become another header.
        name = "".join(c for c in alert.event_name if c.isprintable())[:60]
        message["Subject"] = f"[Doublet] {alert.measure} of {name} {state}"
        message["From"], message["To"] = sender, to
        message.set_content(
            f"{alert.sentence}\n\n"
            f"Pixel {alert.pixel_id}, since {alert.opened_at:%Y-%m-%d %H:%M} UTC."
        )
        kind = smtplib.SMTP_SSL if secure else smtplib.SMTP
        port = server.port or (465 if secure else 25)
        with kind(server.hostname or "", port, timeout=TIMEOUT_S) as client:
            if server.username:
                client.login(unquote(server.username), unquote(server.password or ""))
            client.send_message(message)

    return deliver


def tell(catalog: Catalog, channels: list[Channel]) -> int:
    """Deliver what has not been told yet; how many messages were. A failure is logged."""
    count = 0
    for row in reversed(catalog.alerts(unsettled=True)):
        state = "closed" if row.closed_at is not None else "opened"
        if row.told == state:
            continue
        # One that opened and closed while nothing could be sent is told as one that is over.
        alert = as_alert(row)
        logger.warning("alert-%s id=%d measure=%s", state, alert.alert_id, alert.measure)
        try:
            for deliver in channels:
                deliver(alert, state)
        except (OSError, smtplib.SMTPException, httpx.HTTPError) as error:
            logger.error("alert-not-delivered id=%d error=%s", alert.alert_id, type(error).__name__)
            continue
        row.told = state
        catalog.save_alert(row)
        count += 1
    return count
