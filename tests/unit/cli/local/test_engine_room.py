"""What the doctor makes of CPUs and GPUs that aren't at hand."""

from pathlib import Path

import pytest

from cli.local.engine_room import cpu, has_nvidia, unused_gpu


def test_an_x86_without_avx_is_named() -> None:
    """Mostly a virtual machine that hides what its host can do."""
    assert not cpu("x86_64", "AVX2", 2).fix
    assert not cpu("x86_64", "AVX512", 2).fix
    assert "host-passthrough" in cpu("x86_64", "DEFAULT", 2).fix


def test_what_a_cpu_has_for_16_bit_is_said_where_it_is_known() -> None:
    """It decides whether fewer bits gain anything; a Mac doesn't tell."""
    assert (
        cpu("x86_64", "AVX2", 2, "").said == "x86_64, 2 cores, AVX2 kernels, no 16-bit instructions"
    )
    assert cpu("x86_64", "AVX512", 2, "amx_bf16").said.endswith(", amx_bf16")
    assert cpu("arm64", "DEFAULT", 8, None).said == "arm64, 8 cores, DEFAULT kernels"


@pytest.mark.parametrize("machine", ["aarch64", "arm64"])
def test_other_processors_have_no_avx_to_miss(machine: str) -> None:
    """Torch calls NEON its default."""
    assert not cpu(machine, "DEFAULT", 8).fix


def test_a_gpu_that_nobody_uses_is_named() -> None:
    """`auto` falls back to the CPU, and a box with a GPU would dream slowly for a year."""
    (bare,) = unused_gpu(True, None, "no driver")
    (old,) = unused_gpu(True, "470.1", "the driver is too old (found version 11040)")

    assert "install NVIDIA's driver" in bare.fix
    assert "470.1" in old.said
    assert "too old" in old.said
    assert old.fix


def test_a_gpu_that_works_or_is_not_there_is_nothing_to_say() -> None:
    """The device has its own line."""
    assert not list(unused_gpu(True, "580.1", None))
    assert not list(unused_gpu(False, None, "no driver"))


def test_a_gpu_is_found_on_the_bus_without_its_driver(tmp_path: Path) -> None:
    """By vendor and class; NVIDIA makes sound and network devices too."""
    for number, (vendor, kind) in enumerate(
        [("0x10de", "0x040300"), ("0x8086", "0x030000"), ("0x10de", "0x020700")]
    ):
        device = tmp_path / f"0000:0{number}:00.0"
        device.mkdir()
        (device / "vendor").write_text(vendor + "\n")
        (device / "class").write_text(kind + "\n")
    assert not has_nvidia(tmp_path)
    assert not has_nvidia(tmp_path / "nowhere")

    (tmp_path / "0000:02:00.0" / "class").write_text("0x030200\n")

    assert has_nvidia(tmp_path)
