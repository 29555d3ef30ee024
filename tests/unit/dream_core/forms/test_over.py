"""Which chains write over what they read."""

from dream_core.forms.chain import Chain
from dream_core.forms.over import LARGE, STRIPES, planned, spare_rows, with_spare
from dream_core.model import PICTURE, Layer
from tests.thin import thin_model


def convolution(name: str, reads: str) -> Layer:
    """Return a 3 × 3 convolution of eight channels."""
    window = {"kernel": (3, 3), "padding": (1, 1)}
    return Layer(name=name, kind="convolution", inputs=(reads,), channels=8, **window)


def over(chains: list[Chain]) -> list[str]:
    """Return the names of those that write over what they read."""
    return [chain.name for chain in chains if chain.over]


def test_in_a_row_of_equal_convolutions_each_writes_over_the_one_before() -> None:
    """Not the first of a block, which makes more channels than it reads, nor one with a pool."""
    chains = planned(thin_model(widths=(6, 8, 10, 12, 14)).layers, ["relu5_4"])

    assert over(chains) == [
        *("relu3_2", "relu3_3"),
        *("relu4_2", "relu4_3"),
        *("relu5_2", "relu5_3", "relu5_4"),
    ]


def test_a_stripe_more_is_let_where_somebody_writes_over_it() -> None:
    """On the way in by who reads it; on the way back by who made it, whatever is asked."""
    model = thin_model(widths=(6, 8, 10, 12, 14))
    chains = planned(model.needed_for(["relu4_1"]), ["relu3_1", "relu4_1"])

    assert over(chains) == ["relu3_3"]
    assert [chain.name for chain in chains if chain.spare_forth] == ["relu3_2"]
    assert [chain.name for chain in chains if chain.spare_back] == ["relu3_3", "pool3"]


def test_what_anybody_else_needs_is_left_as_it_is() -> None:
    """A second reader, an objective, and who gave the picture that bands have put together."""
    layers = [
        convolution("first", PICTURE),
        convolution("left", "first"),
        convolution("right", "first"),
        Layer(name="sum", kind="add", inputs=("left", "right"), channels=8),
        convolution("asked", "sum"),
        convolution("last", "asked"),
    ]

    assert over(planned(layers, ["asked", "last"])) == ["asked"]
    assert over(planned(layers, ["last"])) == ["asked", "last"]


def test_a_stripe_is_an_eighth_and_the_row_that_it_reads_beyond() -> None:
    """In rows that the kernel makes four at a time; of small tensors there is none."""
    assert [spare_rows(height) for height in (1, 32, 33, 384)] == [5, 5, 9, 49]
    assert with_spare(LARGE) == LARGE + LARGE // STRIPES
    assert with_spare(LARGE - 1) == LARGE - 1
