"""What an executor keeps, and in how many bytes: all that memory depends on. No torch."""

from dataclasses import dataclass

FULL, HALF = 4, 2  # bytes of a float32 and of a 16-bit number


@dataclass(frozen=True)
class Storage:
    """How the values between two layers lie in memory.

    The reference keeps what every layer read. A lean way back keeps one bit for each value.
    """

    lean: bool = False
    full: int = FULL  # bytes of a value of the picture, of targets and of the optimiser's
    forth: int = FULL  # of one on the way in
    back: int = FULL
    unfolds: bool = False  # torch's convolutions write down every window, as in float64 on a CPU
    kernel_forth: bool = False  # 3 × 3 convolutions are the kernel's
    kernel_back: bool = False
    scratch: int = 12 * 2**20  # bytes that its threads hold for themselves, all together

    @property
    def copies_weights(self) -> bool:
        """Whether torch computes in 16 bit somewhere, with a copy of the weights in 16 bit."""
        by_torch = ((self.forth, self.kernel_forth), (self.back, self.kernel_back))
        return any(each == HALF and not kernel for each, kernel in by_torch)


REFERENCE = Storage()
