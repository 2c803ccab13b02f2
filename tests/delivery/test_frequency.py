"""Frequency: the table against a plain dictionary, full tables, several processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from doublet.delivery import SEEN_MAX
from doublet.delivery.frequency import Frequency, ad_set_keys

DAY_S = 86_400
KEYS = ad_set_keys("abcde")
NOW_S = 1_780_000_000.0

PERSONS = st.integers(0, 4) | st.sampled_from([2**60 - 1, 2**63 + 5])
STEPS = st.lists(
    st.tuples(PERSONS, st.integers(0, 4), st.sampled_from([0, 1, 3_600, DAY_S])), max_size=80
)


def seen(table: Frequency, person: int, window_s: float, now_s: float) -> list[int]:
    """Of each of the five ad sets."""
    found: list[int] = table.seen(person, KEYS, np.full(5, window_s), now_s).tolist()
    return found


@given(STEPS, st.sampled_from([1, 5, 3_600, DAY_S, 7 * DAY_S, 90 * DAY_S]))
def test_it_counts_like_a_dictionary(steps: list[tuple[int, int, int]], window_s: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Frequency(Path(folder) / "frequency.table", slots=1024)
        known: dict[tuple[int, int], set[float]] = defaultdict(set)
        now_s = NOW_S
        for person, ad_set, pause_s in steps:
            now_s += pause_s
            table.note(person, int(KEYS[ad_set]), now_s)
            # One impression may be told by several processes.
            known[person, ad_set].add(now_s)
        for person in {person for person, *_ in steps} - {0}:
            expected = [
                min(SEEN_MAX, sum(at > now_s - window_s for at in known[person, ad_set]))
                for ad_set in range(5)
            ]
            assert expected == seen(table, person, window_s, now_s)
        assert [0] * 5 == seen(table, 0, window_s, now_s)
        table.close()


def test_windows_are_exact_to_the_second_and_differ_by_ad_set(tmp_path: Path) -> None:
    table = Frequency(tmp_path / "frequency.table")
    for _ in range(3):
        # Told three times, it is one impression.
        table.note(7, int(KEYS[0]), NOW_S)
        table.note(7, int(KEYS[1]), NOW_S)
    windows = np.array([DAY_S, 7 * DAY_S, 1, 1, 1])
    asked = [DAY_S - 1, DAY_S, 7 * DAY_S - 1, 7 * DAY_S]
    found = [table.seen(7, KEYS, windows, NOW_S + later).tolist()[:2] for later in asked]
    assert [[1, 1], [0, 1], [0, 1], [0, 0]] == found
    assert [] == table.seen(7, KEYS[:0], windows[:0], NOW_S).tolist()


def test_a_full_table_forgets_the_oldest_and_never_invents(tmp_path: Path) -> None:
    table = Frequency(tmp_path / "frequency.table", slots=256)
    for person in range(1, 2_001):
        table.note(person, int(KEYS[person % 5]), NOW_S + person)
    found = [sum(seen(table, person, DAY_S, NOW_S + 2_000)) for person in range(1, 2_001)]
    assert {0, 1} == set(found)
    assert 256 == sum(found)
    # In each of the 16 neighbourhoods the newest 16 are left; the newest 64 are in none older.
    assert [1] * 64 == found[-64:]


def test_it_outlives_a_restart_and_forgets_a_person(tmp_path: Path) -> None:
    file = tmp_path / "frequency.table"
    table = Frequency(file)
    table.note(7, int(KEYS[0]), NOW_S)
    table.note(7, int(KEYS[3]), NOW_S)
    table.note(8, int(KEYS[3]), NOW_S)
    table.close()
    assert 0o600 == file.stat().st_mode & 0o777
    again = Frequency(file)
    assert [1, 0, 0, 1, 0] == seen(again, 7, DAY_S, NOW_S)
    again.forget(7, KEYS)
    assert [0] * 5 == seen(again, 7, DAY_S, NOW_S)
    assert [0, 0, 0, 1, 0] == seen(again, 8, DAY_S, NOW_S)


def test_a_file_of_another_format_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "frequency.table"
    file.write_bytes(b"something else")
    table = Frequency(file, slots=64)
    table.note(7, int(KEYS[0]), NOW_S)
    assert [1, 0, 0, 0, 0] == seen(Frequency(file, slots=64), 7, DAY_S, NOW_S)
    assert [0] * 5 == seen(Frequency(file, slots=128), 7, DAY_S, NOW_S)
    assert ["frequency.table"] == [path.name for path in tmp_path.iterdir()]


NOTING = """
import sys
from pathlib import Path
from doublet.delivery.frequency import Frequency, ad_set_keys
table, keys = Frequency(Path(sys.argv[1])), ad_set_keys("abcde")
begin = 1_780_000_000 + int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for n in range(3000):
    table.note(n % 500 + 1, int(keys[n % 5]), begin + n)
"""


def test_no_impression_is_lost_between_processes(tmp_path: Path) -> None:
    file = tmp_path / "frequency.table"
    command = [sys.executable, "-c", NOTING, str(file)]
    started = [
        subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for n in (0, 3_000)
    ]
    for each in started:
        assert each.stdout is not None
        assert b"ready\n" == each.stdout.readline()
    for each in started:
        each.communicate(b"go\n")
        assert 0 == each.returncode
    table = Frequency(file)
    for person in range(1, 501):
        assert 12 == sum(seen(table, person, DAY_S, NOW_S + 6_000))
