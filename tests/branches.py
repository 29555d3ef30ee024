"""A small network that is none of VGG's shape."""

from collections.abc import Sequence

from dream_core.model import IMAGENET, PICTURE, Layer, Model, Origin

# Every primitive and its less usual options, on two branches that meet twice: `narrow` rounds its
# size down where `wide` rounds it up, so the sum and the concatenation have to cut.
BRANCHES = (
    Layer(name="stem", kind="convolution", inputs=(PICTURE,), channels=4, kernel=(3, 5)),
    Layer(name="norm", kind="local_response_norm", inputs=("stem",), channels=4, size=3, alpha=2.0),
    Layer(name="leaky", kind="relu", inputs=("norm",), channels=4, negative_slope=0.25),
    Layer(
        name="wide",
        kind="max_pool",
        inputs=("leaky",),
        channels=4,
        kernel=(2, 2),
        stride=(2, 2),
        rounds_up=True,
    ),
    Layer(
        name="narrow",
        kind="convolution",
        inputs=("leaky",),
        channels=4,
        kernel=(2, 2),
        stride=(2, 2),
        groups=2,
    ),
    Layer(
        name="soft",
        kind="average_pool",
        inputs=("wide",),
        channels=4,
        kernel=(3, 3),
        padding=(1, 1),
        counts_padding=False,
    ),
    Layer(name="sum", kind="add", inputs=("soft", "narrow"), channels=4),
    Layer(name="both", kind="concatenate", inputs=("wide", "sum", "narrow"), channels=12),
    Layer(
        name="far",
        kind="convolution",
        inputs=("both",),
        channels=5,
        kernel=(3, 3),
        padding=(2, 2),
        dilation=(2, 2),
    ),
)


def model_of(name: str, layers: Sequence[Layer]) -> Model:
    """Return a model of these layers, of which the last is asked where nobody says."""
    last = layers[-1].name
    return Model(
        name=name,
        title="for tests",
        layers=tuple(layers),
        preprocessing=IMAGENET,
        default_layer=last,
        content_layer=last,
        origin=Origin(kind="file", name="random"),
    )
