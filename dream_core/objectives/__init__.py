"""What is asked of a layer. An objective sees the features of its layer, never the network."""

from dream_core.objectives.content import ContentHold
from dream_core.objectives.gram import BY_KERNEL, BY_TORCH, GramDose, Products, correlate
from dream_core.objectives.objective import Objective

__all__ = [
    "BY_KERNEL",
    "BY_TORCH",
    "ContentHold",
    "GramDose",
    "Objective",
    "Products",
    "correlate",
]
