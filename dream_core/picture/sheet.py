"""Contact sheet: a dream at a glance, from its source to its last frame."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from dream_core.picture.frame import BACKGROUND, Frame, fitted, frame_image

INK = (196, 196, 200)
LONGEST = 384  # of a picture on the sheet: 4 × 384 and margins fill a screen of 1680
MARGIN, GAP = 28, 20
TEXT, LINE = 15, 34  # size of a caption, and the height kept for it


def contact_sheet(
    pictures: Sequence[Frame], captions: Sequence[str], columns: int | None = None
) -> Image.Image:
    """Return the pictures side by side in rows, each above its caption, as one RGB picture.

    Args:
        pictures: one or more, of any size; shown at most 384 pixels long.
        captions: one for each; what doesn't fit under its picture is cut with an ellipsis.
        columns: by default as many as make the sheet about three wide to two high.
    """
    shown = [fitted(frame_image(picture), LONGEST) for picture in pictures]
    cell_width = max(image.width for image in shown)
    cell_height = max(image.height for image in shown) + LINE
    columns = min(columns or _columns(len(shown), cell_width, cell_height), len(shown))
    rows = -(-len(shown) // columns)
    sheet = Image.new(
        "RGB",
        (
            2 * MARGIN + columns * cell_width + (columns - 1) * GAP,
            2 * MARGIN + rows * cell_height + (rows - 1) * GAP - GAP // 2,
        ),
        BACKGROUND,
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(TEXT)
    for index, (image, caption) in enumerate(zip(shown, captions, strict=True)):
        row, column = divmod(index, columns)
        left = MARGIN + column * (cell_width + GAP)
        bottom = MARGIN + row * (cell_height + GAP) + cell_height - LINE
        sheet.paste(image, (left + (cell_width - image.width) // 2, bottom - image.height))
        text = _cut(caption, font, cell_width)
        draw.text((left + cell_width // 2, bottom + LINE // 2), text, INK, font, anchor="mm")
    return sheet


def _columns(count: int, cell_width: int, cell_height: int) -> int:
    """Return how many columns bring the sheet near to 3 : 2 with few holes in its last row."""

    def error(columns: int) -> float:
        rows = -(-count // columns)
        shape = columns * cell_width / (rows * cell_height)
        return max(shape / 1.5, 1.5 / shape) + 6 * (columns * rows - count) / count

    return min(range(1, count + 1), key=error)


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont | None, width: int) -> str:
    if font is None or font.getbbox(text)[2] <= width:
        return text
    while text and font.getbbox(f"{text}…")[2] > width:
        text = text[:-1]
    return f"{text}…"
