"""`dream classic` against the files that the 2015 program wrote, and what it printed."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.main import run

GOLDEN = Path(__file__).parent
STEP = 1  # of 255: the program's own float32 scatter, cut by truncation
JPEG_MAGIC = b"\xff\xd8\xff"
# golden/README.md: losses of relu2_1 and relu4_1 as the program printed them, by iteration.
PRINTED = {
    2: (44.925117, 1.157978, 46.083095),
    4: (40.590405, 1.069857, 41.660261),
    6: (34.307270, 0.958205, 35.265475),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the command of the golden case and give the folder it wrote into."""
    folder = tmp_path_factory.mktemp("classic")
    status = run(
        [
            *("classic", "-content_image", str(GOLDEN / "inputs/scene_65x41.png")),
            *("-image_size", "50", "-style_layers", "relu2_1,relu4_1", "-acid_dose", "50"),
            *("-num_iterations", "7", "-save_iter", "3", "-print_iter", "2"),
            *("-output_image", str(folder / "dreamed.png")),
            *("-model_file", str(GOLDEN / "models/thin_vgg19.caffemodel")),
            *("-proto_file", str(GOLDEN / "models/thin_vgg19.prototxt")),
        ]
    )
    assert status == 0
    return folder


def test_the_files_are_those_of_the_2015_program_and_no_others(written: Path) -> None:
    """Numbers of two digits before the dot; the last update writes the plain name only."""
    expected = {path.name for path in (GOLDEN / "command_line").glob("*.png")}

    assert {path.name for path in written.iterdir()} == expected


@pytest.mark.parametrize("name", ["dreamed_03.png", "dreamed_06.png", "dreamed.png"])
def test_each_file_holds_what_the_2015_program_wrote(written: Path, name: str) -> None:
    """Scaling, the dream, truncation, and the picture *before* the update of its number."""
    ours = np.asarray(Image.open(written / name), dtype=int)
    theirs = np.asarray(Image.open(GOLDEN / "command_line" / name), dtype=int)

    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= STEP


def test_the_losses_printed_are_those_of_the_2015_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every print_iter: iteration, a loss a layer, their sum; layers may come in any order."""
    run(
        [
            *("classic", "-content_image", str(GOLDEN / "inputs/scene_65x41.png")),
            *("-image_size", "50", "-style_layers", "relu4_1,relu2_1", "-acid_dose", "50"),
            *("-num_iterations", "7", "-save_iter", "0", "-print_iter", "2"),
            *("-output_image", str(tmp_path / "a.b.png")),
            *("-model_file", str(GOLDEN / "models/thin_vgg19_layer.caffemodel")),
            *("-proto_file", str(GOLDEN / "models/thin_vgg19.prototxt")),
        ]
    )

    printed = capsys.readouterr().out
    found = re.findall(
        r"Iteration (\d+) / 7\n  relu2_1 loss: (\S+)\n  relu4_1 loss: (\S+)\n"
        r"  Total loss: (\S+)\n",
        printed,
    )
    losses = {int(iteration): tuple(map(float, rest)) for iteration, *rest in found}
    assert losses.keys() == PRINTED.keys()
    for iteration, expected in PRINTED.items():
        # The pictures drift apart by float32's last bits from the first update on.
        assert losses[iteration] == pytest.approx(expected, rel=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["a.b.png"]


@pytest.mark.parametrize(("name", "status"), [("dreamed.jpg", 0), ("dreamed.webp", 1)])
def test_the_name_of_the_output_chooses_its_format(tmp_path: Path, name: str, status: int) -> None:
    """PNG and JPEG, as in 2015; anything else is refused before the dream and not after."""
    scene = GOLDEN / "inputs/scene_65x41.png"
    files = GOLDEN / "models"
    ended = run(
        [
            *("classic", "-content_image", str(scene), "-style_layers", "relu2_1"),
            *("-image_size", "50", "-num_iterations", "2", "-save_iter", "0"),
            *("-output_image", str(tmp_path / name)),
            *("-model_file", str(files / "thin_vgg19.caffemodel")),
        ]
    )

    assert ended == status
    assert [path.name for path in tmp_path.iterdir()] == (["dreamed.jpg"] if status == 0 else [])
    assert all(path.read_bytes().startswith(JPEG_MAGIC) for path in tmp_path.iterdir())
