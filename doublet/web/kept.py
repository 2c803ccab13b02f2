"""Answers that take long to find, each kept with the moment that it is of.

While the tables stay as they are, what was found is the answer. Once they have changed, it is found
anew; whoever shows the moment beside the figures waits for that a tenth of a second only and then
gets what was found before. No answer is found twice at a time.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

OLDEST = timedelta(minutes=15)
"""What was found earlier is not shown any more."""

_ANSWERS_MAX = 64
_PATIENCE_S = 0.1


class _Found(NamedTuple):
    answer: Any
    state: int
    at: datetime


class Kept:
    """The newest answers. `state` numbers the states of the tables that they are read from;
    `patience_s` is how long who shows the moment waits for a newer answer."""

    def __init__(
        self,
        state: Callable[[], int],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._state = state
        self._now = now
        self._patience_s = patience_s
        self._found: OrderedDict[Hashable, _Found] = OrderedDict()
        self._finding: dict[Hashable, threading.Lock] = {}
        self._again: dict[Hashable, threading.Event] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._forgotten = 0

    def ask(self, question: Hashable, find: Callable[[], T]) -> T:
        """The answer of now, which `find` finds where nothing is kept that still holds."""
        answer: T = self._fresh(question, find).answer
        return answer

    def ask_as_of(self, question: Hashable, find: Callable[[], T]) -> tuple[T, datetime]:
        """An answer that is at most `OLDEST` old, and the moment that it is of. A question that is
        new waits for its answer."""
        found = self._found.get(question)
        now = self._now()
        if found is None or now - found.at > OLDEST:
            found = self._fresh(question, find)
            return found.answer, found.at
        if found.state == self._state():
            return found.answer, now
        self._begin(question, find).wait(self._patience_s)
        found = self._found.get(question, found)
        return found.answer, found.at

    def ask_within(
        self, question: Hashable, find: Callable[[], T], wait_s: float
    ) -> tuple[T, datetime] | None:
        """The same, but None where a question that is new is not answered so soon; the answer is
        found all the same, for whoever asks later."""
        found = self._found.get(question)
        is_new = found is None or self._now() - found.at > OLDEST
        if is_new and not self._begin(question, find).wait(wait_s):
            return None
        return self.ask_as_of(question, find)

    def known(
        self, question: Hashable, find: Callable[[], T], *, lasting: timedelta
    ) -> tuple[T, datetime] | None:
        """What was found last with its moment, at once; None for what was not asked of late. Where
        it is older than `lasting` and the tables have changed, it is found anew meanwhile."""
        found, now = self._found.get(question), self._now()
        if found is None:
            self._begin(question, find)
            return None
        if found.state == self._state():
            return found.answer, now
        if now - found.at > lasting:
            self._begin(question, find)
        return None if now - found.at > OLDEST else (found.answer, found.at)

    def _begin(self, question: Hashable, find: Callable[[], Any]) -> threading.Event:
        """Have it found in the background; the event is set when that is over."""
        with self._lock:
            done = self._again.get(question)
            if done is None:
                done = self._again[question] = threading.Event()
                threading.Thread(
                    target=self._find_again, args=(question, find), name="kept", daemon=True
                ).start()
        return done

    def forget(self, *_: object) -> None:
        """Keep nothing of what has been found, or is being found: somebody was erased."""
        with self._lock:
            self._forgotten += 1
            self._found.clear()

    def _fresh(self, question: Hashable, find: Callable[[], Any]) -> _Found:
        with self._lock:
            finding = self._finding.setdefault(question, threading.Lock())
        with finding:
            found = self._found.get(question)
            if found is not None and found.state == self._state():
                return found
            forgotten = self._forgotten
            state, at = self._state(), self._now()
            found = _Found(find(), state, at)
            with self._lock:
                if forgotten == self._forgotten:
                    self._found[question] = found
                    self._found.move_to_end(question)
                if len(self._found) > _ANSWERS_MAX:
                    gone, _ = self._found.popitem(last=False)
                    self._finding.pop(gone, None)
            return found

    def _find_again(self, question: Hashable, find: Callable[[], Any]) -> None:
        # One after the other: readers and loading need the processors too.
        with self._turn:
            try:
                self._fresh(question, find)
            except Exception:
                # Who asks next waits for the answer, and learns what is wrong.
                logger.exception("finding-again-failed")
                with self._lock:
                    self._found.pop(question, None)
            finally:
                with self._lock:
                    self._again.pop(question).set()
