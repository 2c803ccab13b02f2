from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from doublet.audiences.members import Definition, refresh
from doublet.audiences.snapshot import Publisher
from doublet.web.audience_of import audience_of_routes
from tests.audiences.members import EVER, NOW, having
from tests.dashboard import Site
from tests.factories import make_record, sha256
from tests.persons.touching import fbp


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def url(site: Site, tmp_path: Path) -> str:
    routes = audience_of_routes(site.app.state.door, site.catalog, tmp_path / "audiences")
    site.app.router.routes[:0] = routes
    return site.url


def publish(site: Site, folder: Path) -> Definition:
    """One audience, in which mary is."""
    account_id = site.ours.account.account_id
    user_data = {"em": [sha256("mary@example.com")], "fbp": fbp(1)}
    record = make_record(
        account_id=account_id,
        pixel_id=site.ours.pixel_id,
        event_name="ViewContent",
        user_data=user_data,
    )
    site.pipeline.append([record])
    site.pipeline.refresh()
    viewed = having("ViewContent", EVER)._replace(account_id=account_id)
    refresh(site.pipeline.engine, [viewed], NOW)
    Publisher(site.pipeline.engine, folder).publish([(account_id, viewed.audience_id)], NOW)
    return viewed


def ask(
    site: Site, url: str, body: object, headers: dict[str, str] | None = None
) -> httpx.Response:
    path = f"{url}/v1/audiences/of"
    return httpx.post(path, json=body, headers=site.ours.headers if headers is None else headers)


def test_a_person_is_found_by_a_plain_value_and_by_a_cookie(
    site: Site, url: str, tmp_path: Path
) -> None:
    viewed = publish(site, tmp_path / "audiences")
    for user_data in (
        {"em": " Mary@example.com"},
        {"fbp": fbp(1)},
        {"em": "x@y.zz", "fbp": fbp(1)},
    ):
        answer = ask(site, url, {"user_data": user_data})
        expected = {"audiences": [viewed.audience_id], "version": 1, "as_of": NOW}
        assert expected == answer.json(), user_data
    assert [] == ask(site, url, {"user_data": {"fbp": fbp(2)}}).json()["audiences"]
    only = {"user_data": {"fbp": fbp(1)}, "audiences": ["7"]}
    assert [] == ask(site, url, only).json()["audiences"]


def test_another_account_learns_nothing(site: Site, url: str, tmp_path: Path) -> None:
    publish(site, tmp_path / "audiences")
    answer = ask(site, url, {"user_data": {"fbp": fbp(1)}}, site.theirs.headers)
    assert [] == answer.json()["audiences"]
    assert 401 == ask(site, url, {"user_data": {"fbp": fbp(1)}}, {}).status_code


def test_what_cannot_be_asked_is_told_without_values(site: Site, url: str, tmp_path: Path) -> None:
    assert 404 == ask(site, url, {"user_data": {"fbp": fbp(1)}}).status_code
    publish(site, tmp_path / "audiences")
    bodies: tuple[object, ...] = (
        {},
        {"user_data": {"ct": "secretville"}},
        {"user_data": {}},
        ["secretville"],
    )
    for body in bodies:
        answer = ask(site, url, body)
        assert 400 == answer.status_code
        assert "secretville" not in answer.text
