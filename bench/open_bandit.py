"""Logs in the format of the Open Bandit Dataset (Saito, Aihara, Matsutani and Narita, Open Bandit
Dataset and Pipeline, arXiv 2008.07146): what was shown at which position, whether it was clicked,
and the probability with which the policy that served chose it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from doublet.delivery.examples import AdKey, Examples, Numbers

_USER = "user_feature_0, user_feature_1, user_feature_2, user_feature_3"


class Log(NamedTuple):
    """One policy's log, in the order of time. `page` numbers impressions of the same user features
    within a minute: as near as the data come to a page view."""

    name: str
    examples: Examples
    item: NDArray[np.int64]
    position: NDArray[np.int64]
    click: NDArray[np.bool_]
    propensity: Numbers
    page: NDArray[np.int64]

    @property
    def is_uniform(self) -> bool:
        """Whether every choice had the same probability."""
        return bool(np.ptp(self.propensity) < 1e-9)


def read(path: Path, contexts: Path | None = None) -> Log:
    """A log, from CSV (compressed or not); `contexts` is the campaign's item_context.csv. The ad of
    an example is the item, its ad set what is known of the item."""
    query = f"""
        select epoch("timestamp"), item_id, position, click = 1, propensity_score, {_USER},
            dense_rank() over (order by {_USER}, date_trunc('minute', "timestamp"))
        from read_csv($path) order by "timestamp", position, item_id
    """
    rows = duckdb.execute(query, {"path": str(path)}).fetchnumpy()
    at, item, position, click, propensity, *users, page = rows.values()
    words: dict[str, int] = {}
    columns = [[f"position:{one}" for one in position]]
    columns += [[f"user{n}:{one}" for one in user] for n, user in enumerate(users)]
    places = np.array(
        [[words.setdefault(word, len(words)) for word in column] for column in columns], np.int32
    ).T
    family = _families(contexts)
    items = int(item.max()) + 1
    examples = Examples(
        tuple(words),
        np.arange(len(item) + 1) * len(columns),
        places.ravel(),
        tuple(AdKey(str(n), family.get(n, "all"), "all") for n in range(items)),
        item.astype(np.int32),
        at.astype(np.float64),
        np.where(click, at, np.nan),
        np.full(len(item), np.nan),
        np.zeros(len(item)),
        propensity,
    )
    name = path.name.removesuffix(".gz").removesuffix(".csv")
    return Log(name, examples, item, position, click.astype(bool), propensity, page)


def _families(path: Path | None) -> dict[int, str]:
    """Items by what they have in common: the first and second of their features that are names."""
    if path is None:
        return {}
    query = "select item_id, item_feature_1, item_feature_2 from read_csv($path)"
    return {
        n: f"{one}/{two}" for n, one, two in duckdb.execute(query, {"path": str(path)}).fetchall()
    }


def distribution(log: Log) -> Numbers:
    """The probability of each item (row) at each position (column, from 1): 1 ÷ items where the log
    says that all are equal, else the share of impressions. Those of a policy that learns change
    with time, so this is their mean over the log's time."""
    shape = (len(log.examples.ads), int(log.position.max()) + 1)
    if log.is_uniform:
        return np.full(shape, float(log.propensity[0]))
    counts = np.zeros(shape)
    np.add.at(counts, (log.item, log.position), 1.0)
    return np.asarray(counts / np.maximum(counts.sum(axis=0), 1.0))
