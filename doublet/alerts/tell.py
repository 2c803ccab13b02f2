"""Telling alerts: one message when one opens, one when it closes, by signed webhook and e-mail.

What cannot be delivered is tried again in the next round, where it could not: a mail server that is
away repeats nothing to the webhook. After a restart a message may come twice, with the same
`alert_id` and `state`.
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


def _is_address(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def webhook(url: str, secret_file: Path | None) -> Channel:
    """POST as JSON; an answer other than 2xx is a failure. With a secret the header
    `X-Doublet-Signature` is `sha256=` and the hex HMAC-SHA256 of the body. Raises SettingsError
    for what is no address, and when the secret cannot be read."""
    if not _is_address(url, ("http", "https")):
        raise SettingsError("alert_webhook_url is no address.", "Write https://chat.example/hook.")
    try:
        secret = secret_file.read_bytes().strip() if secret_file else b""
    except OSError as error:
        raise SettingsError(
            f"alert_webhook_secret_file: {secret_file} cannot be read.", "Make it, or name another."
        ) from error

    def by_webhook(alert: Alert, state: str) -> None:
        body = msgspec.json.encode({"state": state, **msgspec.to_builtins(alert)})
        headers = {"content-type": "application/json"}
        if secret:
            digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
            headers["x-doublet-signature"] = f"sha256={digest}"
        httpx.post(url, content=body, headers=headers, timeout=TIMEOUT_S).raise_for_status()

    return by_webhook


def email(smtp_url: str, sender: str, to: str) -> Channel:
    """Send by `smtp://host:port`, `smtps://…` with TLS from the start, user and password in the
    URL. `to` may hold several addresses with commas."""
    if not _is_address(smtp_url, ("smtp", "smtps")):
        raise SettingsError(
            "alert_smtp_url is no address of a mail server.", "Write smtp://mail.example:25."
        )
    server = urlsplit(smtp_url)
    secure = server.scheme == "smtps"

    def by_email(alert: Alert, state: str) -> None:
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

    return by_email


Delivered = set[tuple[Channel, int, str]]
"""What reached one channel while another could not be reached: channel, alert_id, state."""


def tell(catalog: Catalog, channels: list[Channel], delivered: Delivered | None = None) -> int:
    """Deliver what has not been told yet; how many messages reached every channel. A failure is
    logged; a channel that is away is left alone until the next call, since waiting for it holds up
    the others. `delivered` is kept from call to call."""
    delivered = set() if delivered is None else delivered
    count = 0
    away: set[Channel] = set()
    for row in reversed(catalog.alerts(unsettled=True)):
        state = "closed" if row.closed_at is not None else "opened"
        if row.told == state:
            continue
        # One that opened and closed while nothing could be sent is told as one that is over.
        alert = as_alert(row)
        missing = [each for each in channels if (each, alert.alert_id, state) not in delivered]
        if missing == channels:
            logger.warning("alert-%s id=%d measure=%s", state, alert.alert_id, alert.measure)
        for channel in missing:
            failure = None if channel in away else _deliver(channel, alert, state)
            if failure is None and channel not in away:
                delivered.add((channel, alert.alert_id, state))
            elif failure is not None and not isinstance(failure, _ANSWERED):
                away.add(channel)
        if any((each, alert.alert_id, state) not in delivered for each in channels):
            continue
        row.told = state
        catalog.save_alert(row)
        delivered -= {each for each in delivered if each[1] == alert.alert_id}
        count += 1
    return count


_ANSWERED = (smtplib.SMTPException, httpx.HTTPStatusError)
"""Failures of one message, not of its channel."""


def _deliver(channel: Channel, alert: Alert, state: str) -> Exception | None:
    try:
        channel(alert, state)
    except (OSError, httpx.HTTPError) as error:
        # Not the error's own words: they may hold the address, and that a password.
        status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 0
        said = (alert.alert_id, channel.__name__, type(error).__name__, status)
        logger.error("alert-not-delivered id=%d channel=%s error=%s status=%d", *said)
        return error
    return None
