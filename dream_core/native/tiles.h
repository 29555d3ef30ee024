// Winograd: tiles and filters to 36 points, a multiplication at each point, and back.

// ---- what is multiplied: rows of tiles by panels of output channels

// Channels that are summed over, filled up with zeros, and floats that they take.
INLINE int64_t depth_of(int64_t channels) { return round_up(channels, HALF ? 32 : CACHE_LINE); }
INLINE int64_t floats_of(int64_t depth) { return HALF ? depth / 2 : depth; }

// How tiles lie: floats from one to the next, from one of the POINTS to the next, and from one line of
// the cache to the next at the same point; and of all. From tile to tile it never is a multiple of
// 4 KB: they would meet in one line of the nearest cache.
struct Layout {
  int64_t tile, point, line, all;
};

// A matrix, row by row.
INLINE Layout rows_of(int64_t stride) { return {stride, 0, CACHE_LINE, 0}; }

// Tiles of few channels lie one by one and are written in one go: a store waits for its line. Of more,
// they lie point by point and are read in one go, as they come from farther away.
constexpr int64_t FEW_CHANNELS = 128;

static Layout layout_of(int64_t depth, int64_t tiles) {
  const int64_t floats = floats_of(depth), row = floats + CACHE_LINE, each = POINTS * floats;
  if (depth <= FEW_CHANNELS)
    return {each + CACHE_LINE, CACHE_LINE, POINTS * CACHE_LINE, tiles * (each + CACHE_LINE)};
  return {row, tiles * row + CACHE_LINE, CACHE_LINE, POINTS * (tiles * row + CACHE_LINE)};
}

// Put what stands in one row of a panel's filters: of one channel, or of a pair of them.
constexpr int64_t TOGETHER = HALF ? 2 : 1;
INLINE void put_filters(float* at, const V x[TOGETHER]) {
#if LEVEL == 4
  put_pair(at, x[0], x[1]);
#else
  store(at, x[0]);
#endif
}

// Add one number times a vector; with PAIRS, of two of 16 bit in each float.
template <bool PAIRS = HALF>
INLINE void add_product(V& sum, float left, V right) {
#if LEVEL == 4
  if (PAIRS) {
    sum = V(_mm512_dpbf16_ps(__m512(sum), __m512bh(_mm512_set1_ps(left)), __m512bh(right)));
    return;
  }
#endif
  sum += left * right;
}

// sums[rows][COLUMNS] = left[rows][floats] · panel[floats][COLUMNS], ROWS at a time in registers; each
// float is one number, or with PAIRS two of 16 bit.
// Rows that no core's own cache holds are fetched a step ahead: they are more than a CPU foresees.
// So is, where the first cache is small, the panel that follows: a share of it in each step.
// ADDS: to the sums that are there.
template <bool AHEAD, bool PAIRS = HALF, bool ADDS = false>
static void multiply(const float* left, const Layout& layout, const float* panel, const float* next,
                     float* sums, int64_t sums_stride, int64_t rows, int64_t floats) {
  const int64_t share = (CACHE_LINE * ROWS + rows - 1) / rows, stride = layout.tile;
  for (int64_t row = 0; row < rows; row += ROWS) {
    const float* at = left + row * stride;
    const float* from = panel;
    V sum[ROWS][VECTORS] = {};
    for (int64_t line = 0; line < floats; line += CACHE_LINE, at += layout.line) {
#pragma GCC unroll 12
      for (int i = 0; i < ROWS && AHEAD; i++) __builtin_prefetch(at + (ROWS + i) * stride);
      for (int64_t i = 0; i < share && AHEAD && SMALL_CACHE; i++, next += COLUMNS)
        __builtin_prefetch(next);
      for (int64_t k = 0; k < std::min<int64_t>(CACHE_LINE, floats - line); k++, from += COLUMNS) {
        V right[VECTORS];
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) right[v] = load(from + v * LANES);
#pragma GCC unroll 12
        for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
          for (int v = 0; v < VECTORS; v++)
            add_product<PAIRS>(sum[i][v], at[i * stride + k], right[v]);
      }
    }
    float* to = sums + row * sums_stride;
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
      for (int v = 0; v < VECTORS; v++) {
        float* there = to + i * sums_stride + v * LANES;
        store(there, ADDS ? load(there) + sum[i][v] : sum[i][v]);
      }
  }
}

// Lay a matrix out in panels, with zeros beyond its own rows and columns; `at` finds its values.
template <class At>
static void lay_out(int64_t depth, int64_t rows, int64_t columns, float* panels, At at) {
  for (int64_t first = 0; first < columns; first += COLUMNS)
    for (int64_t k = 0; k < depth; k++, panels += COLUMNS)
      for (int64_t c = 0; c < COLUMNS; c++)
        panels[c] = k < rows && first + c < columns ? at(k, first + c) : 0.0f;
}

// ---- input → tiles

// Where the first point's vector of neighbouring channels lies, `group` vectors on.
INLINE float* place_in(float* tile, const Layout& layout, int64_t group) {
  const int64_t at = group * (HALF ? LANES / 2 : LANES);
  return tile + at / CACHE_LINE * layout.line + at % CACHE_LINE;
}

template <int READING, bool CAREFUL>
INLINE void transform_tile(const Call& call, int64_t y, int64_t x, int64_t group, float* tile,
                           const Layout& layout) {
  const int64_t channel = group * LANES, lanes = lanes_at(call.inputs, channel);
  float* to = place_in(tile, layout, group);
  V column[6], lines[6][6], line[6];
#pragma GCC unroll 6
  for (int j = 0; j < 6; j++) {
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++)
      column[i] = read<READING, CAREFUL>(call, y + i, x + j, channel, lanes);
    input_line(column, line);
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++) lines[i][j] = line[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < 6; i++) {
    input_line(lines[i], line);
#pragma GCC unroll 6
    for (int j = 0; j < 6; j++) put(to + (i * 6 + j) * layout.point, line[j]);
  }
}

// Fetch what the tile to the right of that at (y, x) reads and this one doesn't: where each position
// has many channels, no CPU foresees it.
template <int READING>
INLINE void fetch_input(const Call& call, int64_t y, int64_t x, int64_t channel) {
  if (!begins_line(channel, call.half & 1)) return;
  constexpr int POOLED = READING >= FROM_MAX;
  const int64_t wide = POOLED ? pooled(call, call.width) : call.width;
  const int64_t right = x + TILE + 2;  // a tile begins at an odd row and column
  const int64_t place = (y >> POOLED) * wide + ((right + POOLED) >> POOLED);
#pragma GCC unroll 6
  for (int i = 0; i < 6 - 2 * POOLED; i++)
#pragma GCC unroll 4
    for (int j = 0; j < (TILE >> POOLED); j++)
      expect_to_read(call, (place + i * wide + j) * call.inputs + channel);
  if (READING == PLAIN || !call.alive || channel) return;
  const int64_t bytes = (call.inputs + 7) / 8;
  const uint8_t* bits = call.alive + (y * call.width + right) * bytes;
  for (int i = 0; i < 6; i++)
    for (int64_t at = 0; at < TILE * bytes; at += CACHE_LINE * 4)
      __builtin_prefetch(bits + i * call.width * bytes + at);
}

// Transform `count` tiles from `first` on.
template <int READING>
static void transform_tiles(const Call call, int64_t first, int64_t count, float* tiles,
                            const Layout layout) {
  const int64_t across = (call.width + TILE - 1) / TILE, depth = depth_of(call.inputs);
  for (int64_t t = 0; t < count; t++, tiles += layout.tile) {
    const int64_t y = call.top + (first + t) / across * TILE - 1;
    const int64_t x = (first + t) % across * TILE - 1;
    const bool edge = y < 0 || x < 0 || y + 6 > call.height || x + 6 > call.width ||
                      (READING >= FROM_MAX && (y + 7 > call.height || x + 7 > call.width));
#if LEVEL < 3
    if (!edge && depth == call.inputs) {
      const Corner corner = corner_of<READING>(call, y, x);
      for (int64_t group = 0; group < depth / LANES; group++) {
        float* to = place_in(tiles, layout, group);
        fetch_input<READING>(call, y, x, group * LANES);
        if (READING == PLAIN || (READING == FROM_AVERAGE && !corner.bits))
          transform_inner_tile<READING, false>(corner, group, to, layout.point);
        else
          transform_inner_tile<READING, true>(corner, group, to, layout.point);
      }
      continue;
    }
#endif
    for (int64_t group = 0; group < depth / LANES; group++) {
      fetch_input<READING>(call, y, x, group * LANES);
      if (edge || (group + 1) * LANES > call.inputs)
        transform_tile<READING, true>(call, y, x, group, tiles, layout);
      else
        transform_tile<READING, false>(call, y, x, group, tiles, layout);
    }
  }
}

static void transform_input(const Call& call, int64_t first, int64_t count, float* tiles,
                            const Layout& layout) {
  if (call.back && call.pool == MAX_POOL)
    transform_tiles<FROM_MAX>(call, first, count, tiles, layout);
  else if (call.back && call.pool == AVERAGE_POOL)
    transform_tiles<FROM_AVERAGE>(call, first, count, tiles, layout);
  else if (call.back && call.alive)
    transform_tiles<MASKED>(call, first, count, tiles, layout);
  else
    transform_tiles<PLAIN>(call, first, count, tiles, layout);
}

// ---- filters → panels

// Where the filters of one point lie, from one point to the next: no multiple of 4 KB either.
INLINE int64_t panel_plane(int64_t depth) { return floats_of(depth) * COLUMNS + 16; }

// Transform a panel's filters, from output channel `column` on, to panel[POINTS][floats][COLUMNS].
static void transform_filters(const Call& call, int64_t column, float* panel) {
  const int64_t depth = depth_of(call.inputs), plane = panel_plane(depth);
  alignas(64) float taps[GATHERED * 9 * COLUMNS];
  for (int64_t channel = 0; channel < depth; channel += TOGETHER) {
    if (channel % GATHERED == 0) gather(call, channel, column, taps);
    for (int v = 0; v < VECTORS; v++) {
      const float* tap = taps + channel % GATHERED * 9 * COLUMNS + v * LANES;
      float* to = panel + channel / TOGETHER * COLUMNS + v * LANES;
      V lines[TOGETHER][3][6], points[3], line[TOGETHER][6], found[TOGETHER];
#pragma GCC unroll 2
      for (int c = 0; c < TOGETHER; c++)
#pragma GCC unroll 3
        for (int j = 0; j < 3; j++) {
#pragma GCC unroll 3
          for (int i = 0; i < 3; i++) points[i] = load(tap + (c * 9 + i * 3 + j) * COLUMNS);
          filter_line(points, lines[c][j]);
        }
#pragma GCC unroll 6
      for (int i = 0; i < 6; i++) {
#pragma GCC unroll 2
        for (int c = 0; c < TOGETHER; c++) {
#pragma GCC unroll 3
          for (int j = 0; j < 3; j++) points[j] = lines[c][j][i];
          filter_line(points, line[c]);
        }
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) {
#pragma GCC unroll 2
          for (int c = 0; c < TOGETHER; c++) found[c] = line[c][j];
          put_filters(to + (i * 6 + j) * plane, found);
        }
      }
    }
  }
}

// ---- sums → output

// Fetch what the tile to the right of that at (y, x) writes, if none is pooled: a store that finds
// its line in no cache holds up all that come after it.
INLINE void fetch_output(const Call& call, int64_t y, int64_t x, int64_t channel) {
  if (!begins_line(channel, call.half & 2)) return;
  const int64_t at = (y * call.width + x + TILE) * call.outputs + channel;
#pragma GCC unroll 4
  for (int i = 0; i < TILE; i++)
#pragma GCC unroll 4
    for (int j = 0; j < TILE; j++)
      expect_to_write(call, at + (i * call.width + j) * call.outputs);
}

// Finish `columns` output channels of `count` tiles from sums[POINTS][plane], rows of `columns`.
static void transform_output(const Call call, int64_t first, int64_t count, int64_t column,
                             int64_t columns, const float* sums, int64_t plane) {
  const int64_t across = (call.width + TILE - 1) / TILE;
  for (int64_t t = 0; t < count; t++) {
    const int64_t y = call.top + (first + t) / across * TILE, x = (first + t) % across * TILE;
    const int64_t high = std::min<int64_t>(TILE, call.height - y);
    const int64_t wide = std::min<int64_t>(TILE, call.width - x);
    for (int64_t c = 0; c < columns && column + c < call.outputs; c += LANES) {
      const int64_t channel = column + c;
      if (!call.pool || call.back) fetch_output(call, y, x, channel);
      const float* at = sums + t * columns + c;
      V lines[4][6], points[6], line[4], values[4][4];
#pragma GCC unroll 6
      for (int j = 0; j < 6; j++) {
#if LEVEL < 3
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++) points[i] = load(at + i * 6 * plane);
        at = walk(at, plane);
#else
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++) points[i] = load(at + (i * 6 + j) * plane);
#endif
        output_line(points, line);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) lines[i][j] = line[i];
      }
      V bias = {};
      if (call.bias) bias = load_some(call.bias + channel, lanes_at(call.outputs, channel));
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
        output_line(lines[i], line);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) values[i][j] = line[j] + bias;
      }
      if (call.pool && !call.back) {
#pragma GCC unroll 2
        for (int i = 0; i < 4; i += 2)
#pragma GCC unroll 2
          for (int j = 0; j < 4; j += 2) {
            if (i >= high || j >= wide) continue;
            const V window[4] = {values[i][j], values[i][j + 1], values[i + 1][j],
                                 values[i + 1][j + 1]};
            write_pooled(call, y + i, x + j, channel, window);
          }
#if LEVEL < 3
      } else if (high == TILE && wide == TILE && lanes_at(call.outputs, channel) == LANES) {
        if (!call.back && call.alive)
          write_tile<true>(call, y, x, channel, values);
        else
          write_tile<false>(call, y, x, channel, values);
#endif
      } else if (high == TILE && wide == TILE) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
          for (int j = 0; j < 4; j++) write(call, y + i, x + j, channel, values[i][j]);
      } else {
        for (int i = 0; i < high; i++)
          for (int j = 0; j < wide; j++) write(call, y + i, x + j, channel, values[i][j]);
      }
    }
  }
}
