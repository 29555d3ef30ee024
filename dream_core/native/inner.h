// Tiles that lie wholly inside the picture, where a path has sixteen registers: those hold no 36
// addresses, so one pointer walks from line to line. At the edges, tiles.h asks of every position
// whether it is there.

// Where a tile that lies wholly inside begins, and how far it is to the next row and position.
struct Corner {
  const float* values;
  const uint8_t* bits;
  int64_t down, across, bits_down, bits_across;
};

template <int READING>
INLINE Corner corner_of(const Call& call, int64_t y, int64_t x) {
  constexpr bool POOLED = READING >= FROM_MAX;
  const int64_t wide = POOLED ? pooled(call, call.width) : call.width;
  Corner corner;
  corner.across = call.inputs, corner.down = wide * call.inputs;
  corner.values = call.input + (y >> POOLED) * corner.down + (x >> POOLED) * corner.across;
  corner.bits = nullptr, corner.bits_across = corner.bits_down = 0;
  if (READING != PLAIN && call.alive) {
    corner.bits_across = (call.inputs + 7) / 8, corner.bits_down = call.width * corner.bits_across;
    corner.bits = call.alive + y * corner.bits_down + x * corner.bits_across;
  }
  return corner;
}

// The same as transform_tile, for such a tile.
template <int READING, bool BITS>
INLINE void transform_inner_tile(const Corner& corner, int64_t group, float* to, int64_t point) {
  constexpr bool POOLED = READING >= FROM_MAX;
  const float* from = corner.values + group * LANES;
  const uint8_t* bits = BITS ? corner.bits + group * LANES / 8 : nullptr;
  V column[6], lines[6][6], line[6];
#pragma GCC unroll 6
  for (int j = 0; j < 6; j++) {
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++) {
      // A tile begins at an odd row and column: in the second half of a window that was pooled.
      V value = load(from + (POOLED ? (i + 1) / 2 : i) * corner.down);
      if (READING == FROM_AVERAGE) value *= 0.25f;
      if (BITS) value = keep(value, load_bits(bits + i * corner.bits_down, group * LANES));
      column[i] = value;
    }
    input_line(column, line);
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++) lines[i][j] = line[i];
    if (!POOLED || j % 2 == 0) from = walk(from, corner.across);
    if (BITS) bits = walk(bits, corner.bits_across);
  }
#pragma GCC unroll 6
  for (int i = 0; i < 6; i++) {
    input_line(lines[i], line);
#pragma GCC unroll 6
    for (int j = 0; j < 6; j++) put(to + j * point, line[j]);
    to = walk(to, 6 * point);
  }
}

// Write a tile that lies wholly inside.
template <bool KEEPS>
INLINE void write_tile(const Call& call, int64_t y, int64_t x, int64_t channel,
                       const V values[4][4]) {
  const int64_t place = y * call.width + x, bytes = (call.outputs + 7) / 8;
  float* to = call.output + place * call.outputs + channel;
  uint8_t* bits = KEEPS ? call.alive + place * bytes + channel / 8 : nullptr;
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
      const V value = values[i][j];
      if (KEEPS) store_bits(bits + j * bytes, channel, LANES, where(value > 0));
      store(to + j * call.outputs, call.rectify ? rectified(value) : value);
    }
    to = walk(to, call.width * call.outputs);
    if (KEEPS) bits = walk(bits, call.width * bytes);
  }
}
