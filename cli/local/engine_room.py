"""What the engine finds on this machine: torch, the CPU's features, GPU and driver."""

import os
import platform
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cli.local.finding import Finding
from dream_core.errors import DreamError
from jobs.settings import Settings

if TYPE_CHECKING:
    import torch

    from dream_core.spec import Precision

_DRIVER = Path("/proc/driver/nvidia/version")
_PCI = Path("/sys/bus/pci/devices")
_NVIDIA, _DISPLAY = "0x10de", "0x03"  # vendor, and how the class of a GPU begins
_X86 = ("x86_64", "AMD64")
FEWER_BITS: "tuple[Precision, ...]" = ("balanced", "fast")


def look(settings: Settings) -> Iterator[Finding]:
    """Go through torch, CPU, and the device that dreams would run on."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of CUDA that isn't there
        yield Finding("torch", f"can't be imported: {error}", "run `make install`")
        return
    from dream_core.executors.cores import limit_threads
    from dream_core.executors.cpu import sixteen_bit_instructions

    limit_threads()
    torch.set_num_threads(settings.threads_of_each(torch.get_num_threads()))

    yield Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")
    kernels = torch.backends.cpu.get_cpu_capability()
    sixteen_bit = sixteen_bit_instructions() if sys.platform == "linux" else None
    yield cpu(platform.machine(), kernels, os.cpu_count() or 1, sixteen_bit)
    yield kernel()
    yield from _device(settings)
    if settings.device != "cpu" and not torch.version.hip:
        yield from unused_gpu(has_nvidia(_PCI), _version(_DRIVER), _why_no_cuda())


def cpu(machine: str, kernels: str, cores: int, sixteen_bit: str | None = None) -> Finding:
    """Return what the CPU can do: which of its kernels torch takes, and what it has for 16 bit.

    Args:
        machine: the kind of processor.
        kernels: as torch names them.
        cores: how many it has.
        sixteen_bit: its instructions for numbers of 16 bit, None where nobody tells.
    """
    said = f"{machine}, {cores} cores, {kernels} kernels"
    if sixteen_bit is not None:
        said += f", {sixteen_bit or 'no 16-bit instructions'}"
    if machine in _X86 and not kernels.startswith("AVX"):
        fix = (
            "torch found no AVX2, dreams will be many times slower: let a virtual machine see its "
            "host's CPU (`host-passthrough`), unset ATEN_CPU_CAPABILITY, or take another machine"
        )
        return Finding("cpu", said, fix)
    return Finding("cpu", said)


def kernel() -> Finding:
    """Return the instructions that our own kernel takes; nothing is broken where it is missing."""
    from dream_core import native

    ways = [*native.paths("bfloat16")[:1], *native.paths()[:1]]
    built = f"built, takes {' and '.join(ways)}"
    if missed := native.missed():
        way_out = "install g++ 11 or newer and run `python -m dream_core.native.build`"
        built += f"; its compiler left out {', '.join(missed)}, which this CPU has: {way_out}"
    return Finding(
        "kernel", built if ways else f"none, dreams take several times longer: {native.reason()}"
    )


def _device(settings: Settings) -> Iterator[Finding]:
    """Dream the smallest thing there is on the device: that a driver answers is not enough."""
    import torch

    from dream_core.executors.device import resolve_device

    try:
        device = resolve_device(settings.device)
    except DreamError as error:
        yield Finding("device", str(error), "set DREAM_DEVICE, or mend the driver (`nvidia-smi`)")
        return
    try:
        ones = torch.ones(1, 1, 3, 3, device=device)
        float(torch.nn.functional.conv2d(ones, ones))
        said = _described(device)
    except RuntimeError as error:
        first = str(error).partition("\n")[0]
        fix = "mend the driver, take another GPU (DREAM_GPUS), or set DREAM_DEVICE=cpu"
        yield Finding("device", f"{device} can't compute: {first}", fix)
        return
    yield Finding("device", said)
    yield Finding("speed", _speed(settings, device))


def _speed(settings: Settings, device: "torch.device") -> str:
    """Return what was measured here, which takes up to 3 s where nothing has been yet."""
    from dream_core.executors import Probe

    probe = Probe(settings.probe_file, executor=settings.executor, precision=settings.precision)
    told = f"auto is {probe.way(device)}"
    if settings.executor == "autograd":
        return f"{told}, as DREAM_EXECUTOR says"
    paces = probe.paces(device)
    told += f"; times as fast as the plain way: {paces}"
    in_vain = [word for word in FEWER_BITS if probe.way(device, word).precision == "exact"]
    if in_vain:
        are = "are" if len(in_vain) > 1 else "is"
        told += f"; so {' and '.join(in_vain)} {are} computed exactly too"
    busy = "; other programs had the cores meanwhile, so it will be measured again"
    return told + busy if paces.busy else told


def _described(device: "torch.device") -> str:
    import torch

    if device.type != "cuda":
        return str(device)
    major, minor = torch.cuda.get_device_capability(device)
    free, total = torch.cuda.mem_get_info(device)
    return (
        f"{torch.cuda.get_device_name(device)}, compute capability {major}.{minor}, "
        f"CUDA {torch.version.cuda}, driver {_version(_DRIVER) or 'unknown'}, "
        f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    )


def unused_gpu(here: bool, driver: str | None, reason: str | None) -> Iterator[Finding]:
    """Tell of a GPU that lies idle: `auto` takes the CPU then, and nobody would know.

    Args:
        here: whether there is a GPU of NVIDIA.
        driver: the version of its driver, None without one.
        reason: why torch can't use it, None where it can.
    """
    if not here or reason is None:
        return
    if driver is None:
        said, fix = "an NVIDIA GPU without its driver", "install NVIDIA's driver, then `nvidia-smi`"
    else:
        said = f"an NVIDIA GPU that torch can't use under driver {driver}: {reason}"
        fix = (
            "install a driver for torch's CUDA or later, and a torch that was built with CUDA; or "
            "set DREAM_DEVICE=cpu"
        )
    yield Finding("gpu", said, fix)


def has_nvidia(devices: Path) -> bool:
    """Whether the PCI bus has a GPU of NVIDIA, whatever its driver."""
    for device in devices.glob("*"):
        try:
            vendor, kind = (device / "vendor").read_text(), (device / "class").read_text()
        except OSError:
            continue
        if vendor.strip() == _NVIDIA and kind.startswith(_DISPLAY):
            return True
    return False


def _why_no_cuda() -> str | None:
    """Return why torch can't use CUDA, in its own words; None where it can."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of what it then raises
        if torch.cuda.is_available():
            return None
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
        except (RuntimeError, AssertionError) as error:
            return " ".join(str(error).split())
    return "CUDA starts and finds no GPU"


def _version(file: Path) -> str | None:
    """Return the driver's version from what its kernel module says of itself."""
    try:
        words = file.read_text().split("\n")[0].split()
    except OSError:
        return None
    return next((word for word in words if word[:1].isdigit() and "." in word), None)
