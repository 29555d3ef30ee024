"""Weights become named layers: a `Network` is asked for features and pulls gradients back."""

from dream_core.networks.loading import load_network
from dream_core.networks.network import Network, Tape

__all__ = ["Network", "Tape", "load_network"]
