"""A setup of the catalog from its answers to "verified": makes what it needs, keeps what was found.

What opens addresses, sends events and freshens tables is given to it.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from doublet.catalog import Account, Catalog, Setup
from doublet.engine import Engine
from doublet.errors import BusyError, DoubletError
from doublet.explain import explain
from doublet.guide.answers import EVENT_OF_GOAL, Answers, platform_of
from doublet.guide.checks import CHECKS, judge
from doublet.guide.finding import Finding
from doublet.guide.making import Begun, begin, steps_of
from doublet.guide.pair import Sent, arrived, judge_pair, judge_road, judge_trial
from doublet.guide.sight import Hit, Sight
from doublet.guide.site import Expected
from doublet.guide.steps import Step
from doublet.refused import Cause

TOKEN_AGE_S = 3600.0
CHECKS_MAX = 8
_TOKENS_MAX = 100
logger = logging.getLogger(__name__)
_is_store_hash = re.compile(r"[a-z0-9]{4,40}").fullmatch

ROAD = (
    (
        "server_road",
        "A server's event arrives",
        "a PageView sent from here with the access token, as a server would send it",
    ),
    (
        "pair",
        "Both copies are one event",
        "that PageView, which browser and server reported with the same event id",
    ),
)
TRIAL = (
    ("test_browser", "Your test, from the browser", "the Purchase or Lead with the test code"),
    ("test_server", "Your test, from the server", "the server's copy of the same event"),
    ("test_one", "Your test counts once", "whether both copies became one event, and by what rule"),
)
TITLES: dict[str, tuple[str, str]] = {
    **{check.key: (check.title, check.looks_at) for check in CHECKS},
    **{key: (title, looks_at) for key, title, looks_at in (*ROAD, *TRIAL)},
}
"""Title of each check, and what it looks at, in the order in which they are told."""

_TRIAL_KEYS = [key for key, _, _ in TRIAL]


class Look(Protocol):
    """What a probe does."""

    def __call__(self, expected: Expected, *, reaches_private: bool = False) -> Sight:
        """What a visitor of the site meets. Raises OperatorError where it may not look."""


Send = Callable[[str, dict[str, Any], str], Sent]
"""Posts a body to an address with an access token."""


class Progress(msgspec.Struct):
    """How far a setup is. `findings` are in the order of `TITLES`; `verified_at` in Unix seconds,
    None as long as it is not. `running` says that a check is under way, `problem` why the last
    could not be made."""

    setup_id: str
    platform: str
    goal: str
    place: str
    site_url: str
    findings: list[Finding]
    verified_at: int | None
    running: bool = False
    problem: str = ""


class Guide:
    """See the module; its methods may be called from any thread. `refusals` tells why requests of
    a pixel were refused."""

    def __init__(
        self,
        catalog: Catalog,
        engine: Engine,
        *,
        public_url: str,
        local_url: str,
        look: Look,
        send: Send,
        freshen: Callable[[], object],
        refusals: Callable[[Account, str], Sequence[Cause]] = lambda account, pixel_id: (),
        now: Callable[[], float] = time.time,
    ) -> None:
        self.catalog = catalog
        self.public_url = public_url
        self._engine = engine
        self._local_url = local_url
        self._look = look
        self._send = send
        self._freshen = freshen
        self._refusals = refusals
        self._now = now
        self._tokens: dict[str, tuple[float, str]] = {}
        self._unshown: dict[str, str] = {}
        self._unshown_keys: dict[str, str] = {}
        self._running: set[str] = set()
        self._problems: dict[str, str] = {}
        self._lock = threading.Lock()

    # --- making -------------------------------------------------------------------------------

    def begin(self, answers: Answers, account: Account | None) -> Begun:
        """See `making.begin`; the token is remembered."""
        begun = begin(self.catalog, answers, account)
        self.remember(begun.setup.setup_id, begun.access_token)
        return begun

    def new_token(self, setup: Setup) -> str:
        """One more access token for a setup; cannot be shown again."""
        token = self.catalog.create_token(setup.account_id, f"Setup {setup.setup_id}")
        self.remember(setup.setup_id, token)
        return token

    def remember(self, setup_id: str, access_token: str) -> None:
        """Keep a token in memory for an hour: to show it once, and to try the server's road."""
        with self._lock:
            while len(self._tokens) >= _TOKENS_MAX:
                oldest = next(iter(self._tokens))
                self._tokens.pop(oldest)
                self._unshown.pop(oldest, None)
            self._tokens[setup_id] = (self._now(), access_token)
            self._unshown[setup_id] = access_token

    def complete_shop(self, setup: Setup, given: Mapping[str, str]) -> None:
        """Take what only a setup's shop knows: `secret`, with which its platform signs, or
        `store_hash` and `api_token` of its API."""
        if not setup.shop_id:
            return
        shop = self.catalog.shops.one(setup.shop_id, setup.account_id)
        secret, store = given.get("secret", "").strip(), given.get("store_hash", "").strip()
        if secret:
            shop = self.catalog.shops.rotate(shop, secret)
        api_token = given.get("api_token", "").strip()
        if api_token and _is_store_hash(store):
            url = f"https://api.bigcommerce.com/stores/{store}"
            target = shop.target | {"store_hash": store, "api_url": url}
            shop = msgspec.structs.replace(shop, target=target, api_token=api_token)
            self.catalog.shops.save(shop)

    def move(self, setup: Setup, site_url: str) -> None:
        """Have another address looked at; what was found at the old one is forgotten."""
        self.catalog.setups.change(setup.setup_id, site_url=site_url, results={}, verified_at=None)

    def share(self, setup: Setup) -> str:
        """A new key that opens the setup for reading, and is shown once."""
        key = self.catalog.setups.share(setup.setup_id)
        with self._lock:
            self._unshown_keys[setup.setup_id] = key
        return key

    def take_unshown_key(self, setup_id: str) -> str:
        """The key that nobody has seen yet, once; empty afterwards."""
        with self._lock:
            return self._unshown_keys.pop(setup_id, "")

    def take_unshown(self, setup_id: str) -> str:
        """The token that nobody has seen yet, once; empty afterwards."""
        with self._lock:
            return self._unshown.pop(setup_id, "")

    def _token(self, setup_id: str) -> str:
        with self._lock:
            made_at, token = self._tokens.get(setup_id, (0.0, ""))
            if self._now() - made_at > TOKEN_AGE_S:
                self._tokens.pop(setup_id, None)
                self._unshown.pop(setup_id, None)
                return ""
            return token

    # --- telling ------------------------------------------------------------------------------

    def steps(self, setup: Setup) -> tuple[Step, ...]:
        """What to do."""
        return steps_of(self.catalog, setup, self.public_url)

    def progress(self, setup: Setup) -> Progress:
        """How far it is, as it was found last."""
        known = _read(setup)
        return Progress(
            setup.setup_id,
            setup.platform,
            setup.goal,
            setup.place,
            setup.site_url,
            [known[key] for key in TITLES if key in known],
            setup.verified_at,
            setup.setup_id in self._running,
            self._problems.get(setup.setup_id, ""),
        )

    # --- checking -----------------------------------------------------------------------------

    def start_check(self, setup: Setup, access_token: str = "", *, trusted: bool = False) -> None:
        """Begin a check, unless one is under way. Raises BusyError when there are too many."""
        if not self._take_turn(setup.setup_id):
            return
        threading.Thread(
            target=self._check_and_tell,
            args=(setup, access_token, trusted),
            name="setup-check",
            daemon=True,
        ).start()

    def _check_and_tell(self, setup: Setup, access_token: str, trusted: bool) -> None:
        try:
            self._check(setup, access_token, trusted)
        except DoubletError as error:
            self._problems[setup.setup_id] = str(error)
        except Exception:
            # A thread of its own has nobody to tell, and the page must not wait for it for ever.
            logger.exception("setup-check-failed setup=%s", setup.setup_id)
            self._problems[setup.setup_id] = "The check broke off; the server's log says why."
        finally:
            with self._lock:
                self._running.discard(setup.setup_id)

    def _take_turn(self, setup_id: str) -> bool:
        """Whether a check may begin now; False when one of this setup is under way. Sites are
        looked at one after the other, and who waits holds a thread."""
        with self._lock:
            if setup_id in self._running:
                return False
            if len(self._running) >= CHECKS_MAX:
                raise BusyError(f"{CHECKS_MAX} sites are being looked at.", "Try again later.")
            self._running.add(setup_id)
            self._problems.pop(setup_id, None)
            return True

    def check(self, setup: Setup, access_token: str = "", *, trusted: bool = False) -> Progress:
        """Look at the live site and try the server's road; `trusted` lets it look at private
        networks. Raises OperatorError for a site that may not be opened, and BusyError."""
        if not self._take_turn(setup.setup_id):
            raise BusyError("This site is being looked at already.", "Try again in a moment.")
        try:
            found = self._check(setup, access_token, trusted)
        finally:
            with self._lock:
                self._running.discard(setup.setup_id)
        return msgspec.structs.replace(found, running=False)

    def _check(self, setup: Setup, access_token: str, trusted: bool) -> Progress:
        expected = self._expected(setup)
        sight = self._look(expected, reaches_private=trusted)
        found = judge(sight, expected, int(self._now()))
        hit = _page_view(sight, setup.pixel_id)
        sent = self._send_copy(setup, hit, self._token(setup.setup_id) or access_token)
        found.append(self._named("server_road", judge_road(sent, self._server_url(setup)), "http"))
        self._freshen()
        events = arrived(self._engine, setup, "PageView")
        pair = judge_pair(events, hit.event_id if hit else None, sent)
        found.append(self._named("pair", pair, sight.via))
        return self._keep(setup.setup_id, found)

    def _named(self, key: str, found: Finding, via: str = "tables") -> Finding:
        return Finding(key, found.state, found.says, found.fix, found.fault, int(self._now()), via)

    def _expected(self, setup: Setup) -> Expected:
        return Expected(
            setup.pixel_id,
            self.public_url,
            setup.platform,
            platform_of(setup.platform).name,
            setup.place,
            setup.site_url,
            setup.test_code,
        )

    def _server_url(self, setup: Setup) -> str:
        return self._local_url if setup.place == "local" else self.public_url

    def _send_copy(self, setup: Setup, hit: Hit | None, access_token: str) -> Sent | None:
        """The server's copy of the PageView that the browser reported; None without a token."""
        if not access_token:
            return None
        user = {"client_user_agent": "DoubletSetup/1.0", "fbp": hit.fbp if hit else ""}
        event = {
            "event_name": "PageView",
            "event_time": int(self._now()),
            "event_id": hit.event_id if hit else f"setup.{setup.setup_id}.{int(self._now())}",
            "action_source": "website",
            "event_source_url": (hit.page if hit else "") or setup.site_url,
            "user_data": {key: value for key, value in user.items() if value}
            | ({} if hit and hit.fbp else {"external_id": setup.setup_id}),
        }
        body = {"data": [event], "test_event_code": setup.test_code}
        path = f"/v25.0/{setup.pixel_id}/events"
        sent = self._send(self._server_url(setup) + path, body, access_token)
        if sent.status is None and self._server_url(setup) != self._local_url:
            again = self._send(self._local_url + path, body, access_token)
            sent = again if again.status == 200 else sent
        return sent

    def watch(self, setup: Setup, event_id: str = "") -> Progress:
        """Look whether the person's test came; `event_id` names it where it has no test code."""
        setup = self.catalog.setups.one(setup.setup_id)
        event_id = event_id or str(setup.results.get("event_id", ""))
        name = EVENT_OF_GOAL[setup.goal]
        account = self.catalog.account(setup.account_id)

        def rule_of(event_id: str) -> str:
            told = explain(self._engine, account, event_id, setup.pixel_id)
            story = next((each for each in told if each.event_name == name), None)
            later = [copy.rule for copy in story.copies if copy.rule != "first"] if story else []
            return next((rule for rule in later if rule != "event_id"), "event_id")

        trial = judge_trial(
            arrived(self._engine, setup, name),
            setup,
            pasted=event_id,
            refused=self._refusals(account, setup.pixel_id),
            from_shop=bool(setup.shop_id),
            rule_of=rule_of,
        )
        found = [
            self._named(key, each)
            for key, each in zip(_TRIAL_KEYS, (trial.browser, trial.server, trial.one), strict=True)
        ]
        return self._keep(setup.setup_id, found, event_id)

    def _keep(self, setup_id: str, found: Sequence[Finding], event_id: str = "") -> Progress:
        """Store what was found beside what other checks have found. Where nothing has changed the
        time of a finding is that of the first."""
        with self._lock:
            setup = self.catalog.setups.one(setup_id)
            known = _read(setup)
            for each in found:
                old = known.get(each.check)
                is_same = old is not None and _unstamped(old) == _unstamped(each)
                known[each.check] = old if is_same and each.via == "tables" and old else each
            results = {
                "findings": msgspec.to_builtins([known[key] for key in TITLES if key in known]),
                "event_id": event_id or setup.results.get("event_id", ""),
            }
            verified_at = (setup.verified_at or int(self._now())) if is_verified(known) else None
            if (results, verified_at) != (setup.results, setup.verified_at):
                self.catalog.setups.change(setup_id, results=results, verified_at=verified_at)
        return self.progress(self.catalog.setups.one(setup_id))


def is_verified(known: dict[str, Finding]) -> bool:
    """Whether the site was looked at, nothing is wrong there, and a test counts once."""
    if any(check.key not in known for check in CHECKS) or "test_one" not in known:
        return False
    good = ("passed", "noted")
    return known["test_one"].state in good and not any(
        each.state == "failed" for each in known.values()
    )


def _unstamped(found: Finding) -> Finding:
    return msgspec.structs.replace(found, at=0)


def _read(setup: Setup) -> dict[str, Finding]:
    listed = msgspec.convert(setup.results.get("findings", []), list[Finding])
    return {each.check: each for each in listed}


def _page_view(sight: Sight, pixel_id: str) -> Hit | None:
    for hit in sight.hits:
        is_taken = hit.status is not None and hit.status < 300
        if hit.pixel_id == pixel_id and hit.event_name == "PageView" and hit.event_id and is_taken:
            return hit
    return None
