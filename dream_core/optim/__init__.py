"""How the pixels follow their gradient."""

from dream_core.optim.adam import Adam
from dream_core.optim.lbfgs import LBFGS
from dream_core.optim.optimizer import Look, Optimizer, State

__all__ = ["LBFGS", "Adam", "Look", "Optimizer", "State"]
