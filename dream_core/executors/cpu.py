"""The CPU by its name and by what decides which kernels run on it."""

import platform
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# Those that libraries choose their kernels for 16 bit by; wider vectors torch tells itself.
_SIXTEEN_BIT = ("amx_bf16", "amx_fp16", "avx512_bf16", "avx512_fp16", "bf16", "sve2")


@cache
def cpu_name() -> str:
    """Return what the CPU is called, as far as the system tells; not enough to know its speed."""
    told = _told(_CPUINFO)
    name = told.get("model name") or platform.processor() or platform.machine()
    numbers = [told[key] for key in ("cpu family", "model", "stepping") if key in told]
    return " ".join([name, "/".join(numbers)]).strip()


@cache
def sixteen_bit_instructions() -> str:
    """Return what the CPU has for 16-bit numbers, as Linux names it, with spaces between."""
    told = _told(_CPUINFO)
    flags = f"{told.get('flags', '')} {told.get('Features', '')}".split()
    return " ".join(name for name in _SIXTEEN_BIT if name in flags)


def _told(cpuinfo: Path) -> dict[str, str]:
    """Return what is told of the first CPU."""
    try:
        first = cpuinfo.read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}
