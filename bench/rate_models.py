"""Ways to learn a probability per impression, side by side: what each says of later impressions.

All learn whether `happened` from the same examples and features: base rate; logistic regression on
ads and features, and with crosses (scikit-learn, its own strength C); LightGBM and Vowpal Wabbit
with the settings written here; and Doublet's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doublet.delivery.examples import Examples, Numbers
from doublet.delivery.fitting import fit
from doublet.delivery.rates import predict

Flags = NDArray[np.bool_]
Predicts = Callable[[Examples], Numbers]
Way = Callable[[Examples, Flags], Predicts]

VW_PASSES = 3


def base_rate(known: Examples, happened: Flags) -> Predicts:
    """The same for all."""
    rate = max(happened.mean(), 1e-6)
    return lambda later: np.full(len(later), rate)


def _sparse(examples: Examples, is_crossed: bool = False) -> Any:
    """Ads and features, one column each; with the pairs of ad set and feature if wanted."""
    from scipy.sparse import coo_matrix

    every = np.arange(len(examples))
    row = np.repeat(every, np.diff(examples.starts))
    words, ads = len(examples.words), len(examples.ads)
    adsets = sorted({ad.adset_id for ad in examples.ads})
    adset = np.array([adsets.index(ad.adset_id) for ad in examples.ads])[examples.ad]
    rows = [every, every, row]
    columns = [examples.ad, ads + adset, ads + len(adsets) + examples.places]
    width = ads + len(adsets) + words
    if is_crossed:
        rows.append(row)
        columns.append(width + examples.places.astype(np.int64) * len(adsets) + adset[row])
        width += words * len(adsets)
    row, column = np.concatenate(rows), np.concatenate(columns)
    return coo_matrix((np.ones(len(row)), (row, column)), (len(examples), width)).tocsr()


def _regression(is_crossed: bool, strength: float) -> Way:
    def learn(known: Examples, happened: Flags) -> Predicts:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=strength, max_iter=300, tol=1e-6)
        model.fit(_sparse(known, is_crossed), happened)
        return lambda later: np.asarray(model.predict_proba(_sparse(later, is_crossed))[:, 1])

    return learn


def lightgbm(known: Examples, happened: Flags) -> Predicts:
    """Boosted trees; the last tenth of the time says when to stop."""
    import lightgbm as lgb

    def table(examples: Examples) -> Any:
        from scipy.sparse import csr_matrix, hstack

        adsets = sorted({ad.adset_id for ad in examples.ads})
        campaigns = sorted({ad.campaign_id for ad in examples.ads})
        codes = np.array(
            [
                (n, adsets.index(ad.adset_id), campaigns.index(ad.campaign_id))
                for n, ad in enumerate(examples.ads)
            ],
            np.float64,
        )[examples.ad]
        return hstack([csr_matrix(codes), _sparse(examples)[:, -len(examples.words) :]], "csr")

    cut = int(0.9 * len(known))
    x = table(known)
    options = {
        "objective": "binary",
        "learning_rate": 0.05,
        "num_leaves": 31,
        "min_data_in_leaf": 200,
        "cat_smooth": 50,
        "num_threads": 2,
        "seed": 1,
        "deterministic": True,
        "verbose": -1,
    }
    kinds = [0, 1, 2]
    train = lgb.Dataset(x[:cut], happened[:cut], categorical_feature=kinds)
    valid = train.create_valid(x[cut:], happened[cut:])
    model = lgb.train(
        options, train, 1_000, valid_sets=[valid], callbacks=[lgb.early_stopping(30, verbose=False)]
    )
    return lambda later: np.asarray(model.predict(table(later)))


def vowpal(known: Examples, happened: Flags) -> Predicts:
    """Online logistic regression with crosses of ad and feature, several passes."""
    from vowpalwabbit import Workspace

    words = [word.replace(":", "=") for word in known.words]

    def line(examples: Examples, n: int, label: str) -> str:
        ad = examples.ads[examples.ad[n]]
        features = examples.places[examples.starts[n] : examples.starts[n + 1]]
        told = " ".join(words[place] for place in features)
        return f"{label}|a {ad.ad_id} {ad.adset_id} {ad.campaign_id} |f {told}"

    model = Workspace("--loss_function logistic --link logistic -q af -b 20 --l2 1e-8 --quiet")
    labels = np.where(happened, "1 ", "-1 ")
    for _ in range(VW_PASSES):
        for n in range(len(known)):
            model.learn(line(known, n, labels[n]))

    def predict(later: Examples) -> Numbers:
        return np.array([model.predict(line(later, n, "")) for n in range(len(later))])

    return predict


def doublet(known: Examples, happened: Flags) -> Predicts:
    """Doublet's model of clicks, of whatever happened."""
    told = replace(
        known,
        clicked_at=np.where(happened, known.decided_at, np.nan),
        acted_at=np.full(len(known), np.nan),
    )
    model = fit(told, float(known.decided_at.max()) + 86_400)
    return lambda later: predict(model, later).p_click


WAYS: dict[str, Way] = {
    "base rate": base_rate,
    "logistic, C = 1": _regression(False, 1.0),
    "logistic with crosses, C = 1": _regression(True, 1.0),
    "logistic with crosses, C = 0.1": _regression(True, 0.1),
    "logistic with crosses, C = 0.01": _regression(True, 0.01),
    "LightGBM": lightgbm,
    "Vowpal Wabbit": vowpal,
    "Doublet": doublet,
}


def losses(p: Numbers, happened: Flags) -> Numbers:
    """Log loss of each example (nats)."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return np.asarray(-np.where(happened, np.log(p), np.log1p(-p)))
