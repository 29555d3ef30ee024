"""In C++: 3 × 3 convolutions by Winograd, forward and back to what they read; Gram matrices."""

from dream_core.native.convolution import (
    convolve,
    convolve_picture,
    let_first_pass,
    new_alive,
    pull_back,
    pull_back_to_picture,
    unpack,
)
from dream_core.native.gram import correlate, pull, reads
from dream_core.native.library import (
    DTYPES,
    VERSION,
    Operands,
    available,
    missed,
    paths,
    reason,
)
from dream_core.native.row import in_a_row, settle

__all__ = [
    "DTYPES",
    "VERSION",
    "Operands",
    "available",
    "convolve",
    "convolve_picture",
    "correlate",
    "in_a_row",
    "let_first_pass",
    "missed",
    "new_alive",
    "paths",
    "pull",
    "pull_back",
    "pull_back_to_picture",
    "reads",
    "reason",
    "settle",
    "unpack",
]
