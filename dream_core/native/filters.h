// Filters as torch keeps them, gathered for the columns of one panel.

constexpr int GATHERED = 16;  // channels at a time

#if LEVEL >= 2
// Turn LANES rows into columns: each stage, pairs of rows exchange a half of every 2 · STEP lanes.
template <int STEP>
INLINE void exchange(V rows[LANES]) {
#if LEVEL == 2
  const I lane = {0, 1, 2, 3, 4, 5, 6, 7};
#else
  const I lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#endif
  const I upper = (lane & STEP) != 0;
  const I low = lane + (upper & (LANES - STEP)), high = lane + STEP + (upper & (LANES - STEP));
#pragma GCC unroll 16
  for (int i = 0; i < LANES; i++) {
    if (i & STEP) continue;
    const V first = rows[i], second = rows[i + STEP];
    rows[i] = __builtin_shuffle(first, second, low);
    rows[i + STEP] = __builtin_shuffle(first, second, high);
  }
}

INLINE void transpose(V rows[LANES]) {
  exchange<1>(rows), exchange<2>(rows), exchange<4>(rows);
#if LEVEL >= 3
  exchange<8>(rows);
#endif
}

// Turn LANES filters of nine values each into nine rows of LANES, the last value first.
INLINE void take_apart(const float* from, V rows[9]) {
#if LEVEL == 2
  V lines[LANES];
#pragma GCC unroll 8
  for (int n = 0; n < LANES; n++) {
    lines[n] = load(from + n * 9);
    rows[0][n] = from[n * 9 + 8];
  }
  transpose(lines);
#pragma GCC unroll 8
  for (int i = 0; i < LANES; i++) rows[8 - i] = lines[i];
#else
  const I lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  V lines[10];
#pragma GCC unroll 9
  for (int i = 0; i < 9; i++) lines[i] = load(from + i * LANES);
  lines[9] = lines[8];
#pragma GCC unroll 9
  for (int i = 0; i < 9; i++) {
    const I place = lane * 9 + (8 - i);
    rows[i] = __builtin_shuffle(lines[0], lines[1], place);
#pragma GCC unroll 4
    for (int pair = 1; pair < 5; pair++) {
      const V found = __builtin_shuffle(lines[2 * pair], lines[2 * pair + 1], place);
      rows[i] = place >= 2 * LANES * pair ? found : rows[i];
    }
  }
#endif
}
#endif

// Gather the nine values of COLUMNS filters at GATHERED of the channels that are summed over, zeros
// where there are none: taps[GATHERED · 9][COLUMNS].
static void gather(const Call& call, int64_t channel, int64_t column, float* taps) {
  const int64_t columns = std::min<int64_t>(COLUMNS, call.outputs - column);
  const int64_t channels = std::min<int64_t>(GATHERED, call.inputs - channel);
  const bool whole = columns == COLUMNS && channels == GATHERED;
  if (!whole) std::memset(taps, 0, GATHERED * 9 * COLUMNS * sizeof(float));
  if (!call.back) {
    const float* from = call.weight + (column * call.inputs + channel) * 9;
#if LEVEL >= 2
    for (int64_t i = 0; whole && i < GATHERED * 9 / LANES * VECTORS; i++) {
      V rows[LANES];
      const int64_t tap = i / VECTORS * LANES, v = i % VECTORS * LANES;
#pragma GCC unroll 16
      for (int n = 0; n < LANES; n++) rows[n] = load(from + (v + n) * call.inputs * 9 + tap);
      transpose(rows);
#pragma GCC unroll 16
      for (int n = 0; n < LANES; n++) store(taps + (tap + n) * COLUMNS + v, rows[n]);
    }
    if (whole) return;
#endif
    for (int64_t n = 0; n < columns; n++)
      for (int64_t i = 0; i < channels * 9; i++)
        taps[i * COLUMNS + n] = from[n * call.inputs * 9 + i];
    return;
  }
  // Back, inputs and outputs change places, and each filter is turned by half a circle.
  for (int64_t c = 0; c < channels; c++) {
    const float* from = call.weight + ((channel + c) * call.outputs + column) * 9;
    float* to = taps + c * 9 * COLUMNS;
#if LEVEL >= 2
    for (int64_t v = 0; whole && v < COLUMNS; v += LANES) {
      V rows[9];
      take_apart(from + v * 9, rows);
#pragma GCC unroll 9
      for (int i = 0; i < 9; i++) store(to + i * COLUMNS + v, rows[i]);
    }
    if (whole) continue;
#endif
    for (int64_t n = 0; n < columns; n++)
#pragma GCC unroll 9
      for (int64_t i = 0; i < 9; i++) to[i * COLUMNS + n] = from[n * 9 + 8 - i];
  }
}
