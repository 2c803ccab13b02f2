from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from doublet.audiences import snapshot as module
from doublet.audiences.members import refresh
from doublet.audiences.snapshot import Publisher, Snapshot
from doublet.normalize import identifier_key
from tests.audiences.members import EVER, NOW, having
from tests.factories import ACCOUNT, SECOND, Pipeline, sha256
from tests.persons.touching import em, fbp, make

CARTED = having("AddToCart", EVER, but_not="Purchase")
VIEWED = having("ViewContent", EVER)
BOTH = [CARTED, VIEWED]
NAMES = [(each.account_id, each.audience_id) for each in BOTH]


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path / "data")
    yield made
    made.close()


def load(pipeline: Pipeline, *records: bytes) -> None:
    pipeline.append(list(records))
    pipeline.refresh()
    refresh(pipeline.engine, BOTH, NOW)


def asked(snapshot: Snapshot, *identifiers: str) -> set[str]:
    assert snapshot.refresh()
    return snapshot.audiences_of(ACCOUNT, identifiers)


def test_a_person_is_found_by_any_identifier(pipeline: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    snapshot = Snapshot(folder)
    assert not snapshot.refresh()
    assert set() == snapshot.audiences_of(ACCOUNT, [f"fbp={fbp(1)}"])
    load(
        pipeline,
        make("AddToCart", fbp=fbp(1), em=em("mary")),
        make("ViewContent", number=2, fbp=fbp(2)),
        make("ViewContent", number=3, fbp=fbp(1)),
    )
    Publisher(pipeline.engine, folder).publish(NAMES, NOW)
    assert {CARTED.audience_id, VIEWED.audience_id} == asked(snapshot, f"fbp={fbp(1)}")
    assert {CARTED.audience_id, VIEWED.audience_id} == asked(snapshot, f"em={em('mary')[0]}")
    assert {VIEWED.audience_id} == asked(snapshot, f"fbp={fbp(2)}")
    assert set() == asked(snapshot, f"fbp={fbp(3)}")
    assert set() == snapshot.audiences_of("act_200000000000002", [f"fbp={fbp(1)}"])


def test_a_delta_takes_the_place_of_the_base(pipeline: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    publisher, snapshot = Publisher(pipeline.engine, folder), Snapshot(folder)
    load(pipeline, make("AddToCart", fbp=fbp(1)), make("AddToCart", number=2, fbp=fbp(2)))
    first = publisher.publish(NAMES, NOW)
    assert {CARTED.audience_id} == asked(snapshot, f"fbp={fbp(1)}")
    load(
        pipeline,
        make("Purchase", SECOND, fbp=fbp(1)),
        make("ViewContent", SECOND, fbp=fbp(3)),
        # A new identifier of somebody whose audiences stay.
        make("PageView", SECOND, fbp=fbp(2), em=em("joan")),
    )
    second = publisher.publish(NAMES, NOW + 1)
    assert (first.base, "") == (second.base, first.delta)
    assert second.delta
    assert set() == asked(snapshot, f"fbp={fbp(1)}")
    assert {CARTED.audience_id} == asked(snapshot, f"fbp={fbp(2)}")
    assert {CARTED.audience_id} == asked(snapshot, f"em={em('joan')[0]}")
    assert {VIEWED.audience_id} == asked(snapshot, f"fbp={fbp(3)}")
    third = publisher.publish(NAMES, NOW + 2)
    assert second.delta == third.delta
    assert NOW + 2 == third.as_of


def test_many_changes_make_a_new_base(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DELTA_MIN", 1)
    monkeypatch.setattr(module, "_KEPT_S", 0.0)
    folder = tmp_path / "published"
    publisher, snapshot = Publisher(pipeline.engine, folder), Snapshot(folder)
    load(pipeline, make("AddToCart", fbp=fbp(1)))
    publisher.publish(NAMES, NOW)
    for number in range(2, 5):
        load(pipeline, make("ViewContent", SECOND, number, fbp=fbp(number)))
        publisher.publish(NAMES, NOW)
        assert {VIEWED.audience_id} == asked(snapshot, f"fbp={fbp(number)}")
        assert {CARTED.audience_id} == asked(snapshot, f"fbp={fbp(1)}")
    assert 2 >= len(list(folder.glob("*-*")))


def test_another_process_begins_with_a_base(pipeline: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    load(pipeline, make("AddToCart", fbp=fbp(1)))
    first = Publisher(pipeline.engine, folder).publish(NAMES, NOW)
    second = Publisher(pipeline.engine, folder).publish(NAMES, NOW)
    assert (first.version + 1, "") == (second.version, second.delta)
    assert first.base != second.base


def test_a_reader_loads_neither_engine_nor_lake(pipeline: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    load(pipeline, make("AddToCart", fbp=fbp(1)))
    Publisher(pipeline.engine, folder).publish(NAMES, NOW)
    code = (
        "import sys, pathlib, timeit\n"
        "from doublet.audiences.snapshot import Snapshot\n"
        f"snapshot = Snapshot(pathlib.Path({str(folder)!r}))\n"
        "assert snapshot.refresh()\n"
        f"print(sorted(snapshot.audiences_of({ACCOUNT!r}, ['fbp={fbp(1)}'])))\n"
        "loaded = {'duckdb', 'deltalake', 'sklearn', 'starlette'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"{[CARTED.audience_id]}\n" == done.stdout


def test_identifiers_are_there_as_digests_only(pipeline: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    load(pipeline, make("AddToCart", fbp=fbp(1), em=em("mary")))
    current = Publisher(pipeline.engine, folder).publish(NAMES, NOW)
    content = b"".join(file.read_bytes() for file in (folder / current.base).iterdir())
    assert sha256("mary@example.com").encode() not in content
    assert fbp(1).encode() not in content
    assert msgspec.json.decode((folder / "current.json").read_bytes())["version"] == 1


def test_who_changed_is_published_though_the_first_attempt_failed(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "published"
    snapshot = Snapshot(folder)
    publisher = Publisher(pipeline.engine, folder)
    load(pipeline, make("AddToCart", fbp=fbp(1)))
    publisher.publish(NAMES, NOW)
    load(pipeline, make("Purchase", number=2, fbp=fbp(1)))

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Publisher, "_save", full)
        with pytest.raises(OSError, match="No space left"):
            publisher.publish(NAMES, NOW)
    publisher.publish(NAMES, NOW + 1)
    assert set() == asked(snapshot, f"fbp={fbp(1)}")


def test_who_left_is_in_no_file_an_hour_later(pipeline: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    publisher = Publisher(pipeline.engine, folder)
    load(pipeline, make("AddToCart", fbp=fbp(1)), make("ViewContent", number=2, fbp=fbp(2)))
    first = publisher.publish(NAMES, NOW)
    load(pipeline, make("Purchase", number=3, fbp=fbp(1)))
    assert first.base == publisher.publish(NAMES, NOW + 3599).base
    later = publisher.publish(NAMES, NOW + 3600)
    assert (True, "") == (later.base != first.base, later.delta)
    keys = np.load(folder / later.base / "keys.npy").tolist()
    assert [identifier_key(ACCOUNT, f"fbp={fbp(2)}")] == keys
    # Nobody changed since, so it is written no more.
    assert later.base == publisher.publish(NAMES, NOW + 9000).base


def test_a_version_of_which_a_part_is_gone_is_not_half_opened(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    folder = tmp_path / "published"
    snapshot, publisher = Snapshot(folder), Publisher(pipeline.engine, folder)
    load(pipeline, make("AddToCart", fbp=fbp(1)), make("ViewContent", number=2, fbp=fbp(2)))
    publisher.publish(NAMES, NOW)
    assert {CARTED.audience_id} == asked(snapshot, f"fbp={fbp(1)}")
    # Numbered the other way round, and a delta beside.
    other = Publisher(pipeline.engine, folder)
    other.publish(NAMES[::-1], NOW)
    load(pipeline, make("ViewContent", number=3, fbp=fbp(3)))
    newest = other.publish(NAMES[::-1], NOW)
    shutil.move(folder / newest.delta, folder / "away")
    assert {CARTED.audience_id} == asked(snapshot, f"fbp={fbp(1)}")
    shutil.move(folder / "away", folder / newest.delta)
    assert {VIEWED.audience_id} == asked(snapshot, f"fbp={fbp(3)}")
    assert {CARTED.audience_id} == asked(snapshot, f"fbp={fbp(1)}")
