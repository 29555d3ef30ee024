"""What is asked of a layer. An objective sees the features of its layer, never the network."""

from dream_core.objectives.content import ContentHold
from dream_core.objectives.gram import GramDose, correlate, correlate_by_kernel
from dream_core.objectives.objective import Objective

__all__ = ["ContentHold", "GramDose", "Objective", "correlate", "correlate_by_kernel"]
