"""The worker's watch: every `alert_interval_s` it looks at the models and tells what is unusual."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path

from doublet.alerts.book import note
from doublet.alerts.tell import Channel, Delivered, email, tell, webhook
from doublet.alerts.watch import look, read_shares, read_volumes
from doublet.catalog import Catalog
from doublet.engine import Engine
from doublet.errors import SettingsError
from doublet.health import health
from doublet.settings import Settings

logger = logging.getLogger(__name__)

_LAG_S_MAX = 120.0


def channels_of(settings: Settings) -> list[Channel]:
    """Where alerts go besides page and log. Raises SettingsError for what cannot be meant."""
    found = []
    if settings.alert_webhook_url:
        secret = settings.alert_webhook_secret_file
        found.append(webhook(settings.alert_webhook_url, Path(secret) if secret else None))
    if bool(settings.alert_smtp_url) != bool(settings.alert_email_to):
        raise SettingsError(
            "Of alert_smtp_url and alert_email_to only one is set: no e-mail could be sent.",
            "Set both, or neither.",
        )
    if settings.alert_smtp_url:
        sender = settings.alert_email_from
        found.append(email(settings.alert_smtp_url, sender, settings.alert_email_to))
    return found


class Watch:
    """A thread that looks and tells."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._channels = channels_of(settings)
        self._delivered: Delivered = set()
        self._catalog = Catalog(settings.catalog_url)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the look under way."""
        self._stop.set()
        self._thread.join()
        self._catalog.close()

    def look(self, now: datetime) -> None:
        """One look at everything, and what is new of it told."""
        findings = look(read_volumes(self._engine, now), read_shares(self._engine, now), now)
        note(self._catalog, findings, self._catalog.directory().account_of_pixel, now)
        tell(self._catalog, self._channels, self._delivered)

    def _watch(self) -> None:
        while not self._stop.wait(self._settings.alert_interval_s):
            # What has not been modelled yet must not look like what has not come.
            lag_s = health(self._settings.run_folder).model_lag_s
            if lag_s is None or lag_s > _LAG_S_MAX:
                continue
            try:
                self.look(datetime.now(UTC))
            except Exception:
                logger.exception("watch-failed")
