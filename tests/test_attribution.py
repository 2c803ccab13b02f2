"""The mathematics of attribution: by hand, by law, and beside packages that others wrote."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doublet.attribution import (
    Paths,
    first_touch,
    last_touch,
    linear,
    markov,
    position_based,
    shapley,
    time_decay,
)

SAME = 1e-9

JOURNEYS = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abcd"), min_size=1, max_size=6),
        st.integers(0, 5),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=12,
).map(lambda rows: Paths(*map(list, zip(*rows, strict=True))))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Others' packages print how long they took, and what else they sell."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


@pytest.fixture(scope="module")
def theirs() -> Any:
    """mta with its own 10,000 paths; it makes one of channels that follow themselves."""
    with quiet():
        from mta import MTA

        return MTA(str(files("mta") / "data" / "data.csv.gz"), add_timepoints=False)


@pytest.fixture(scope="module")
def ours(theirs: Any) -> Paths:
    """The same paths."""
    frame = theirs.data
    return Paths(
        frame["path"].tolist(), frame["total_conversions"].tolist(), frame["total_null"].tolist()
    )


def of_mta(theirs: Any, model: str, **options: Any) -> dict[str, float]:
    with quiet():
        getattr(theirs, model)(normalize=False, **options)
    name = {"position_based": "pos_based"}.get(model, model)
    return dict(theirs.attribution[name])


def test_without_repeats_paths_are_those_of_mta(theirs: Any) -> None:
    import pandas as pd

    raw = pd.read_csv(str(files("mta") / "data" / "data.csv.gz"))
    assert len(raw) == 10_000
    paths = Paths(
        [path.split(" > ") for path in raw["path"]],
        raw["total_conversions"].tolist(),
        raw["total_null"].tolist(),
    )
    made = paths.without_repeats()
    assert made.conversions.sum() == theirs.data["total_conversions"].sum()
    assert len(made.codes) == sum(
        sum(a != b for a, b in zip(steps, [None, *steps], strict=False))
        for steps in (path.split(" > ") for path in raw["path"])
    )


@pytest.mark.parametrize(
    ("model", "of_ours", "options"),
    [
        ("first_touch", first_touch, {}),
        ("last_touch", last_touch, {}),
        ("linear", linear, {"share": "proportional"}),
        ("linear", lambda paths: linear(paths, distinct=True), {"share": "same"}),
        ("position_based", position_based, {}),
        (
            "position_based",
            lambda paths: position_based(paths, 0.3, 0.5),
            {"first_weight": 30, "last_weight": 50},
        ),
    ],
)
def test_heuristics_are_those_of_mta(
    theirs: Any, ours: Paths, model: str, of_ours: Any, options: dict[str, Any]
) -> None:
    assert of_ours(ours) == pytest.approx(of_mta(theirs, model, **options), rel=SAME)


def test_time_decay_of_mta_grows_by_one_and_ours_doubles(theirs: Any, ours: Paths) -> None:
    # mta gives the distinct channels of a path, by first touch, parts as 1 : 2 : 3 …, whatever
    # the times. Ours halves with each half-life. By hand, for a > b > c with a day between:
    path = Paths([["a", "b", "c"]], [1])
    assert time_decay(path, 1.0) == pytest.approx({"a": 1 / 7, "b": 2 / 7, "c": 4 / 7}, rel=SAME)
    # Two channels have 1 : 2 in both, so the packages agree where no path has three.
    two = Paths([["a", "b"], ["b", "a"], ["b"]], [3, 5, 2])
    with quiet():
        import pandas as pd
        from mta import MTA

        frame = pd.DataFrame(
            {"path": ["a > b", "b > a", "b"], "total_conversions": [3, 5, 2], "total_null": [0] * 3}
        )
        small = MTA(frame, add_timepoints=False)
    assert time_decay(two, 1.0) == pytest.approx(of_mta(small, "time_decay"), rel=SAME)
    # Theirs by its own definition, on all paths.
    totals = dict.fromkeys(ours.channels, 0.0)
    for n, count in enumerate(ours.conversions):
        codes = ours.codes[ours.starts[n] : ours.starts[n + 1]].tolist()
        seen = list(dict.fromkeys(codes))
        for place, code in enumerate(seen, 1):
            totals[ours.channels[code]] += count * place / (len(seen) * (len(seen) + 1) / 2)
    assert totals == pytest.approx(of_mta(theirs, "time_decay"), rel=SAME)


def test_shapley_of_mta_is_linear_in_distinct_channels(theirs: Any, ours: Paths) -> None:
    # With v(S) the conversions of paths inside S, v is the sum over paths of conversions times the
    # game in which just the path's channels are needed. Of that each of its m channels has 1 / m.
    # By hand: a > b converts 6 times, a once. v(a) = 1, v(b) = 0, v(ab) = 7;
    # a is worth ((1 - 0) + (7 - 0)) / 2 = 4 = 1 + 6/2, b ((0 - 0) + (7 - 1)) / 2 = 3 = 6/2.
    small = Paths([["a", "b"], ["a"]], [6, 1])
    assert shapley(small, "conversions").values == pytest.approx({"a": 4.0, "b": 3.0})
    assert linear(small, distinct=True) == pytest.approx({"a": 4.0, "b": 3.0})
    mine = shapley(ours, "conversions").values
    assert mine == pytest.approx(of_mta(theirs, "shapley"), rel=SAME)
    assert mine == pytest.approx(of_mta(theirs, "linear"), rel=SAME)


def test_shapley_by_rate_asks_who_did_not_convert() -> None:
    # Everybody meets a, which alone converts 1 of 10; with b 5 of 10 do.
    # v(a) = 1/10, v(b) = 0, v(ab) = 6/20: a (0.1 + 0.3) / 2 = 0.2, b (0 + 0.2) / 2 = 0.1.
    made = shapley(Paths([["a"], ["a", "b"]], [1, 5], [9, 5]))
    assert made.values == pytest.approx({"a": 0.2, "b": 0.1}, rel=SAME)
    assert made.conversions == pytest.approx({"a": 4.0, "b": 2.0}, rel=SAME)


def test_shapley_of_do_attribution_is_that_of_exact_coalitions(ours: Paths) -> None:
    from do_attribution.shapley import ShapleyAttribution

    names = [" > ".join(ours.channels[c] for c in path) for path in _codes(ours)]
    # It warns that values below 0 are no parts of a whole.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Shapley normalization is unavailable", UserWarning)
        # It takes each conversion by itself.
        each = [
            name for name, n in zip(names, ours.conversions, strict=True) for _ in range(int(n))
        ]
        made = ShapleyAttribution().fit(each, [1] * len(each))
    mine = shapley(ours, "exact").values
    assert mine == pytest.approx(made["shapley_values"], rel=1e-6, abs=1e-6)


def _codes(paths: Paths) -> list[list[int]]:
    return [
        paths.codes[start:end].tolist()
        for start, end in zip(paths.starts[:-1], paths.starts[1:], strict=True)
    ]


@pytest.mark.parametrize("order", [1, 2])
def test_removal_effects_are_those_of_do_attribution(ours: Paths, order: int) -> None:
    from do_attribution.markov import MarkovAttribution

    names = [" > ".join(ours.channels[c] for c in path) for path in _codes(ours)]
    told = [(name, 1, n) for name, n in zip(names, ours.conversions, strict=True) if n]
    told += [(name, 0, n) for name, n in zip(names, ours.losses, strict=True) if n]
    model = MarkovAttribution(order=order, removal_strategy="redirect_to_null")
    made = model.fit(*map(list, zip(*told, strict=True)))
    mine = markov(ours, order)
    assert mine.probability == pytest.approx(made["total_conversion_probability"], rel=SAME)
    # A state of order 2 is two touches for do-attribution, for us also the first touch alone; who
    # comes to a state, and whether a channel is in it, is the same.
    assert mine.effects == pytest.approx(made["removal_effects"], rel=1e-7)
    total = float(ours.conversions.sum())
    shares = {name: value / total for name, value in mine.conversions.items()}
    assert shares == pytest.approx(made["attribution"], rel=1e-7)


def test_markov_of_mta_counts_only_walks_that_somebody_took(theirs: Any) -> None:
    # mta adds up the probabilities of the paths in its data; a chain also takes others. Where a
    # chain can take none but those, both agree. By hand: start > a > conversion 1 of 2,
    # start > b > conversion always, 4 walks begin with a and 2 with b: P = 4/6 · 1/2 + 2/6 = 2/3,
    # without a 1/3, without b 1/3: effects 1/2 and 1/2.
    import pandas as pd

    def fit(rows: list[tuple[str, int, int]]) -> tuple[Any, Paths]:
        from mta import MTA

        with quiet():
            frame = pd.DataFrame(rows, columns=["path", "total_conversions", "total_null"])
            made = MTA(frame, add_timepoints=False)
        steps = [path.split(" > ") for path, _, _ in rows]
        return made, Paths(steps, [row[1] for row in rows], [row[2] for row in rows])

    small, paths = fit([("a", 2, 2), ("b", 2, 0)])
    assert markov(paths).effects == pytest.approx({"a": 0.5, "b": 0.5}, rel=SAME)
    assert of_mta(small, "markov") == pytest.approx({"a": 0.5, "b": 0.5}, rel=SAME)
    # a > b and b > a make a chain that may go on: a > b > a > …. Each of start's two arrows and of
    # the four from a and b has 1/2, so a walk of n steps converts with 2 · 2^-(n+1), P = 1. mta
    # knows two walks of two steps: 2 · 1/8 = 1/4.
    loop, paths = fit([("a > b", 1, 0), ("b > a", 1, 0)])
    assert markov(paths).probability == pytest.approx(1.0, rel=SAME)
    assert loop.prob_convert(loop.transition_matrix()) == pytest.approx(0.25, rel=SAME)
    # Without a, who begins with b converts at once in half of the cases: P' = 1/2 · 1/2.
    assert markov(paths).effects == pytest.approx({"a": 0.75, "b": 0.75}, rel=SAME)


@pytest.fixture(scope="module")
def channel_attribution() -> Any:
    """The package, which prints where more is to be had."""
    with quiet():
        return pytest.importorskip(
            "ChannelAttribution",
            reason="ChannelAttribution, which has to be compiled, is not installed: "
            "pip install 'doublet[compare]'",
        )


@pytest.fixture(scope="module")
def frame(ours: Paths) -> Any:
    """The paths as ChannelAttribution reads them."""
    import pandas as pd

    return pd.DataFrame(
        {
            "path": [" > ".join(ours.channels[c] for c in path) for path in _codes(ours)],
            "conversions": ours.conversions,
            "losses": ours.losses,
        }
    )


@pytest.mark.parametrize(
    ("model", "of_ours"),
    [("first_touch", first_touch), ("last_touch", last_touch), ("linear_touch", linear)],
)
def test_heuristics_are_those_of_channel_attribution(
    channel_attribution: Any, frame: Any, ours: Paths, model: str, of_ours: Any
) -> None:
    made = channel_attribution.heuristic_models(frame, "path", "conversions", flg_pro=False)
    found = dict(zip(made["channel_name"], made[model], strict=True))
    assert of_ours(ours) == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("order", [1, 2])
def test_channel_attribution_finds_the_same_removal_effects_by_walking(
    channel_attribution: Any, frame: Any, ours: Paths, order: int
) -> None:
    # It lets a million walkers go, each for as many steps as the longest path has; we solve.
    made = channel_attribution.markov_model(
        frame,
        "path",
        "conversions",
        var_null="losses",
        order=order,
        nsim_start=1e6,
        conv_par=0.01,
        seed=7,
        out_more=True,
        verbose=False,
        flg_pro=False,
    )
    found = made["removal_effects"]
    effects = dict(zip(found["channel_name"], found["removal_effect"], strict=True))
    mine = markov(ours, order)
    assert mine.effects == pytest.approx(effects, abs=0.01)
    found = made["result"]
    conversions = dict(zip(found["channel_name"], found["total_conversions"], strict=True))
    total = float(ours.conversions.sum())
    assert mine.conversions == pytest.approx(conversions, abs=0.01 * total)


# --- laws ------------------------------------------------------------------------------------

MODELS: dict[str, Callable[[Paths], dict[str, float]]] = {
    "first": first_touch,
    "last": last_touch,
    "linear": linear,
    "distinct": lambda paths: linear(paths, distinct=True),
    "decay": lambda paths: time_decay(paths, 2.0),
    "position": position_based,
    "markov": lambda paths: markov(paths).conversions,
    "markov2": lambda paths: markov(paths, 2).conversions,
    "shapley": lambda paths: shapley(paths).conversions,
}


@pytest.mark.parametrize("name", MODELS)
@given(paths=JOURNEYS)
@settings(max_examples=60, deadline=None)
def test_credit_adds_up_to_all_conversions(name: str, paths: Paths) -> None:
    made = MODELS[name](paths)
    total = float(paths.conversions.sum())
    assert min(made.values()) >= 0
    assert sum(made.values()) == pytest.approx(total, rel=SAME, abs=1e-12)


@given(JOURNEYS)
@settings(max_examples=60, deadline=None)
def test_shapley_values_keep_shapleys_laws(paths: Paths) -> None:
    for worth in ("rate", "conversions"):
        values = shapley(paths, worth).values
        # Efficiency: they add up to what all channels together are worth.
        whole = paths.conversions.sum()
        if worth == "rate":
            walked = whole + paths.losses.sum()
            whole = whole / walked if walked else 0.0
        assert sum(values.values()) == pytest.approx(whole, abs=1e-9)
    swapped = {"a": "b", "b": "a"}
    other = Paths(
        [
            [swapped.get(paths.channels[c], paths.channels[c]) for c in path]
            for path in _codes(paths)
        ],
        paths.conversions,
        paths.losses,
    )
    mine, theirs = shapley(paths).values, shapley(other).values
    # Symmetry: the name of a channel is nothing.
    assert {swapped.get(c, c): v for c, v in mine.items()} == pytest.approx(theirs, abs=1e-9)
    # A channel on no converting path earns nothing of conversions.
    idle = {c for c in paths.channels if not any(
        count and paths.channels.index(c) in path
        for path, count in zip(_codes(paths), paths.conversions, strict=True)
    )}  # fmt: skip
    assert all(shapley(paths, "conversions").values[c] == pytest.approx(0) for c in idle)


@given(JOURNEYS)
@settings(max_examples=60, deadline=None)
def test_an_effect_is_what_is_lost_without_the_channel(paths: Paths) -> None:
    """Against the definition: the chain with the channel's arrows led to null, solved anew."""
    import numpy as np

    from doublet.attribution.markov import _chain

    made = markov(paths)
    if not made.probability:
        return
    matrix, start, end = _chain(paths, paths.codes, len(paths.channels))
    moves = np.eye(len(paths.channels)) - matrix.toarray()
    for n, channel in enumerate(paths.channels):
        kept = np.arange(len(paths.channels)) != n
        left = np.eye(int(kept.sum())) - moves[np.ix_(kept, kept)]
        without = float(start[kept] @ np.linalg.solve(left, end[kept])) if kept.any() else 0.0
        expected = 1 - without / made.probability
        assert made.effects[channel] == pytest.approx(expected, abs=1e-9)


def test_what_cannot_be_meant_is_said() -> None:
    paths = Paths([[f"c{n}"] for n in range(16)], [1] * 16)
    with pytest.raises(ValueError, match="at most 15 channels, these are 16"):
        shapley(paths)
    with pytest.raises(ValueError, match="half-life"):
        time_decay(paths, 0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        position_based(paths, 0.7, 0.7)
    with pytest.raises(ValueError, match="at least 1"):
        markov(paths, 0)
    with pytest.raises(ValueError, match="its count"):
        Paths([["a"]], [])
    assert {} == last_touch(Paths([[]], [1]))
