from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doublet.catalog import Audience
from doublet.likening import Likening
from doublet.lookalikes import make_lookalike
from tests.audiences.members import NOW
from tests.factories import SECOND
from tests.persons.touching import fbp
from tests.test_audiencing import Shop

DAY = 86_400
MANY, FEW = 4000, 1600
SHOES = 8
"""One person in so many looks at shoes."""

pytestmark = pytest.mark.slow


def open_shop(folder: Path, persons: int) -> Shop:
    """Persons over 60 days, of whom those that look at shoes tend to buy."""
    made = Shop(folder)
    luck = random.Random(7)
    records = []
    for person in range(persons):
        likes_shoes = person % SHOES == 0
        for visit in range(3):
            at = -luck.randrange(60 * DAY) * SECOND
            content = "shoe" if likes_shoes and luck.random() < 0.9 else "hat"
            item = f"{content}-{luck.randrange(5)}"
            custom = {"content_ids": [item], "value": 10, "currency": "USD"}
            more: dict[str, object] = {"custom_data": custom}
            records.append(made.make_with("ViewContent", at, person * 10 + visit, person, more))
            if luck.random() < (0.2 if likes_shoes else 0.005):
                later = min(at + luck.randrange(DAY) * SECOND, 0)
                records.append(made.make_with("Purchase", later, person * 10 + visit, person, more))
    made.load(*records)
    return made


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = open_shop(tmp_path_factory.mktemp("shop"), MANY)
    yield made
    made.close()


@pytest.fixture
def likening(shop: Shop) -> Iterator[Likening]:
    made = Likening(shop.pipeline.engine, shop.settings)
    yield made
    made.stop()


def alike(shop: Shop, origin: Audience, spec: str) -> Audience:
    return shop.create("LOOKALIKE", origin_audience_id=origin.audience_id, lookalike_spec=spec)


def test_a_lookalike_is_made_judged_and_published(shop: Shop, likening: Likening) -> None:
    buyers = shop.create(rule=shop.rule("Purchase", days=180))
    like = alike(shop, buyers, '{"ratio": 0.05, "allow_international_seeds": true}')
    # Nobody is like those who are not known yet.
    assert [] == likening.look(NOW)
    shop.audiencing.refresh(NOW)
    assert [like.audience_id] == likening.look(NOW)
    assert [] == likening.look(NOW + 1)
    shop.audiencing.refresh(NOW)
    said = shop.catalog.audiences.state(like.audience_id)
    assert ("ready", "") == (said["state"], said["message"])
    figures = said["figures"]
    known = {candidate["name"] for candidate in figures["candidates"]}
    assert {"random", figures["model"]} <= known
    members = [n for n in range(MANY) if like.audience_id in shop.of(f"fbp={fbp(n)}")]
    assert figures["members"] == len(members)
    # Who bought is left out, and shoes are what the others have in common.
    assert not any(buyers.audience_id in shop.of(f"fbp={fbp(n)}") for n in members)
    assert sum(n % SHOES == 0 for n in members) > 0.5 * len(members), figures["model"]


def test_too_few_to_be_like_is_said(shop: Shop, likening: Likening) -> None:
    few = shop.create(rule=shop.rule("Purchase", days=1))
    like = alike(shop, few, '{"ratio": 0.01, "allow_international_seeds": true}')
    shop.audiencing.refresh(NOW)
    assert [like.audience_id] == likening.look(NOW)
    said = shop.catalog.audiences.state(like.audience_id)
    assert "failed" == said["state"]
    assert "100" in said["message"]
    # It is tried again later, not all the time.
    assert [] == likening.look(NOW + 60)
    assert [like.audience_id] == likening.look(NOW + 3600)


def test_one_that_fails_keeps_no_other_waiting(
    shop: Shop, likening: Likening, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = shop.create(rule=shop.rule("Purchase", days=2))
    spec = '{"ratio": 0.01, "allow_international_seeds": true}'
    made = {alike(shop, few, spec).audience_id, alike(shop, few, spec).audience_id}
    shop.audiencing.refresh(NOW)
    real = make_lookalike
    asked = []

    def broken(*given: Any, **more: Any) -> Any:
        asked.append(given)
        if len(asked) == 1:
            raise ZeroDivisionError
        return real(*given, **more)

    monkeypatch.setattr("doublet.likening.make_lookalike", broken)
    (other,) = made & set(likening.look(NOW))
    (failed,) = made - {other}
    said = shop.catalog.audiences.state(failed)
    assert ("failed", NOW) == (said["state"], said["tried_at"])
    assert "log" in said["message"]
    # It is tried again later, not all the time.
    assert failed not in likening.look(NOW + 60)
    assert failed in likening.look(NOW + 3600)


def test_an_old_lookalike_is_made_anew(shop: Shop, likening: Likening) -> None:
    (like,) = (
        each
        for each in shop.catalog.audiences.all(shop.account_id)
        if shop.catalog.audiences.state(each.audience_id).get("figures")
    )
    assert like.audience_id not in likening.look(NOW + 2 * 3600)
    said = shop.catalog.audiences.state(like.audience_id)
    assert NOW + 2 * 3600 == said["watched_at"]
    assert 0 <= said["drift"]["largest"] < 0.25
    assert like.audience_id in likening.look(NOW + 4 * DAY)
    assert NOW + 4 * DAY == shop.catalog.audiences.state(like.audience_id)["made_at"]


def test_few_buyers_are_not_told_by_their_purchases(tmp_path: Path) -> None:
    """Too few have bought after any moment to learn from moments; whoever has bought has also done
    more than others, which must not be what makes others alike."""
    shop = open_shop(tmp_path, FEW)
    likening = Likening(shop.pipeline.engine, shop.settings)
    buyers = shop.create(rule=shop.rule("Purchase", days=180))
    like = alike(shop, buyers, '{"ratio": 0.05, "allow_international_seeds": true}')
    shop.audiencing.refresh(NOW)
    likening.look(NOW)
    shop.audiencing.refresh(NOW)
    figures = shop.catalog.audiences.state(like.audience_id)["figures"]
    assert ("left_out", ["Purchase"]) == (figures["judged_by"], figures["ignored"])
    members = [n for n in range(FEW) if like.audience_id in shop.of(f"fbp={fbp(n)}")]
    assert sum(n % SHOES == 0 for n in members) > 0.5 * len(members), figures["model"]
    likening.stop()
    shop.close()
