"""How torch's 3 × 3 convolutions are cut, which decides what they take. No torch."""

# Values of the wider side of a convolution in one strip of rows; measured (docs/log.md).
STRIP = 1 << 21
# Of Winograd in torch: from how many channels on it is faster than a plain convolution, points of a
# tile, and the values that tiles, and their sums, come to in one step.
FEWEST_CHANNELS, POINTS, POINTS_AT_ONCE = 128, 36, 1 << 21
