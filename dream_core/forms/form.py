"""A form: whether a picture is looked at as a whole, in bands of rows or in tiles."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Form:
    """How a picture is cut up so that its features fit into memory. All give the same gradient.

    `bands`: the layers up to `cut` run in bands of rows, everything deeper runs whole; the bands
    run twice. `tiles`: all layers run in square parts, twice, and overlap by all they can see.
    """

    kind: Literal["whole", "bands", "tiles"] = "whole"
    part: int = 0  # pixels: rows of a band or side of a tile, without its halo
    cut: str = ""  # the pool that ends what runs in bands

    def __str__(self) -> str:
        """Return it as a sentence has it: a picture is seen so."""
        if self.kind == "bands":
            return f"in bands of {self.part} rows to {self.cut}"
        return f"in tiles of {self.part}" if self.kind == "tiles" else "whole"


WHOLE = Form()
