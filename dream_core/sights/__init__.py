"""One look at a picture, as a whole or in parts: the same questions and the same answers."""

from collections.abc import Callable, Collection

from torch import Tensor

from dream_core.forms import Form
from dream_core.networks import Network
from dream_core.sights.bands import Bands
from dream_core.sights.parted import Parted
from dream_core.sights.sight import Sight
from dream_core.sights.whole import Whole

__all__ = ["Sight", "look"]


def look(
    network: Network,
    picture: Tensor,
    layers: Collection[str],
    form: Form,
    check: Callable[[], None],
) -> Sight:
    """Look at a picture, (3, H, W), in a form that suits the network and the layers asked.

    `check` is called before each part, and may raise to leave.
    """
    if form.kind == "whole":
        return Whole(network, picture, layers)
    if form.kind == "tiles":
        return Parted(network, picture, layers, check, (form.part, form.part))
    return Bands(network, picture, layers, check, form)
