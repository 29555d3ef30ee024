import pytest

from dream_core.executors import REFERENCE, Paces, Way

EXACT, BALANCED, FAST = (Way("direct", word) for word in ("exact", "balanced", "fast"))


def paces(plain: float, exact: float, balanced: float, fast: float) -> Paces:
    """Return what a machine might have measured."""
    return Paces({EXACT: exact, BALANCED: balanced, FAST: fast, REFERENCE: plain})


@pytest.mark.parametrize(
    ("measured", "way"),
    [
        ((1.0, 0.8, 0.6, 0.39), FAST),
        ((1.0, 0.8, 0.6, 0.41), BALANCED),
        ((1.0, 0.69, 0.6, 0.5), BALANCED),
        ((1.0, 0.68, 0.6, 0.5), EXACT),
        ((1.0, 0.8, 2.0, 2.0), EXACT),
        ((1.0, 0.8, 2.0, 0.5), FAST),
    ],
)
def test_auto_gives_up_bits_only_where_it_gains_enough(
    measured: tuple[float, float, float, float], way: Way
) -> None:
    """1.5 × from balanced to fast, 1.15 × from exact to balanced."""
    assert paces(*measured).way("auto") == way


@pytest.mark.parametrize("asked", ["exact", "balanced", "fast"])
def test_a_word_never_costs_more_bits_than_it_says(asked: str) -> None:
    """Where 16 bit is slower (a CPU without instructions for it), nobody gets it."""
    assert paces(1.0, 0.8, 2.0, 2.0).way(asked) == EXACT


def test_a_word_takes_its_bits_where_they_pay_at_all() -> None:
    """Who asks by name needs no threshold."""
    measured = paces(1.0, 0.8, 0.79, 0.78)

    assert [measured.way(asked) for asked in ("exact", "balanced", "fast")] == [
        EXACT,
        BALANCED,
        FAST,
    ]


@pytest.mark.parametrize(("plain", "way"), [(0.8, EXACT), (0.75, REFERENCE)])
def test_the_reference_runs_only_where_it_is_clearly_faster(plain: float, way: Way) -> None:
    """It needs most memory."""
    assert paces(plain, 1.0, 2.0, 2.0).way("exact") == way


@pytest.mark.parametrize(("plain", "way"), [(1.01, EXACT), (0.99, REFERENCE)])
def test_where_memory_is_nobody_elses_the_fastest_runs(plain: float, way: Way) -> None:
    """As on a GPU, whose host may be as busy as it likes."""
    assert paces(plain, 1.0, 2.0, 2.0).way("exact", thrifty=False) == way
