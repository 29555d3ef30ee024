"""Weights: pulled, checked, converted and kept. torch is imported only where a file needs it."""

from dream_core.weights.added import add
from dream_core.weights.progress import PullProgress
from dream_core.weights.pull import ensure, pull
from dream_core.weights.store import is_here, read, verify

__all__ = ["PullProgress", "add", "ensure", "is_here", "pull", "read", "verify"]
