// The first layer, whose products are float32 on every path: few channels in, which lie in planes

constexpr int64_t MOST_ROWS = 48;  // that a thread takes at a time; back, each time two more
constexpr int64_t SOON = 1024;  // values from what is read or written to what is fetched meanwhile

// Both ways a row of W positions is multiplied by a small matrix, ROWS positions at a time: forward
// (W, 9 · C) · (9 · C, K), read from the rows of the planes as they lie; (W, K) · (K, 9 · C) back.
struct Strip {
  int64_t depth, columns, rows;  // of that product, the last two rounded up
  int64_t stride, left_floats, panel_floats, own_floats;
  int64_t ring_floats;  // of one row of products, back
  int64_t band;         // rows that a thread takes at a time
};

static Strip strip_of(const Call& call) {
  Strip strip;
  strip.depth = call.back ? round_up(call.inputs, LANES) : 9 * call.inputs;
  strip.columns = round_up(call.back ? 9 * call.outputs : call.outputs, COLUMNS);
  strip.rows = round_up(call.width, ROWS);
  strip.panel_floats = strip.depth * COLUMNS;
  // Forward all rows that are read, with a zero at either end; back the ROWS positions in hand.
  strip.stride = call.back ? strip.depth + 16 : strip.rows + 2;
  strip.left_floats = round_up((call.back ? ROWS : 3 * call.inputs) * strip.stride, 16);
  strip.ring_floats = call.back ? (strip.rows + 2) * strip.columns : 0;
  const int64_t sums = call.back ? 3 * strip.ring_floats : ROWS * strip.columns;
  strip.own_floats = round_up(strip.left_floats + sums, 1024) + 16;
  strip.band = std::min(MOST_ROWS, call.height / (4 * call.threads) + 1);
  return strip;
}

static int64_t picture_scratch_bytes(const Call& call) {
  const Strip strip = strip_of(call);
  const int64_t shared = strip.depth * strip.columns;
  return (round_up(shared, 16) + call.threads * strip.own_floats) * int64_t(sizeof(float));
}

// sums[ROWS][COLUMNS] of the positions from `x` on: each tap's row is read from its place on.
static void multiply_planes(const Strip& strip, const float* rows, int64_t x, const float* panel,
                            float* sums) {
  V sum[ROWS][VECTORS] = {};
  for (int64_t row = 0; row < strip.depth / 3; row++) {
    const float* at = rows + row * strip.stride + x;
#pragma GCC unroll 3
    for (int tap = 0; tap < 3; tap++, panel += COLUMNS) {
      V right[VECTORS];
#pragma GCC unroll 2
      for (int v = 0; v < VECTORS; v++) right[v] = load(panel + v * LANES);
#pragma GCC unroll 12
      for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) sum[i][v] += at[i + tap] * right[v];
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++) store(sums + i * strip.columns + v * LANES, sum[i][v]);
}

static void take_bands(Job& job, int64_t slot) {
  const Call& call = *job.call;
  const Strip strip = strip_of(call);
  float* rows = job.own + slot * job.own_floats;
  float* sums = rows + strip.left_floats;
  for (int64_t first; (first = job.next++ * strip.band) < call.height;)
    for (int64_t y = first; y < std::min(first + strip.band, call.height); y++) {
      std::memset(rows, 0, strip.left_floats * sizeof(float));
      for (int64_t i = 0; i < 3 * call.inputs; i++) {
        const int64_t at_y = y + i % 3 - 1;
        if (at_y >= 0 && at_y < call.height)
          std::memcpy(rows + i * strip.stride + 1,
                      call.input + (i / 3 * call.height + at_y) * call.width,
                      call.width * sizeof(float));
      }
      for (int64_t x = 0; x < call.width; x += ROWS) {
        for (int64_t column = 0; column < strip.columns; column += COLUMNS)
          multiply_planes(strip, rows, x, job.shared + column / COLUMNS * strip.panel_floats,
                          sums + column);
        for (int64_t i = 0; i < std::min<int64_t>(ROWS, call.width - x); i++)
          for (int64_t channel = 0; channel < call.outputs; channel += LANES) {
            expect_to_write(call, (y * call.width + x + i) * call.outputs + channel + SOON);
            V value = load(sums + i * strip.columns + channel);
            if (call.bias) value += load_some(call.bias + channel, lanes_at(call.outputs, channel));
            write(call, y, x + i, channel, value);
          }
      }
    }
}

template <bool CAREFUL>
INLINE V read_row(const Call& call, int64_t y, int64_t x, int64_t channel, int64_t lanes) {
  return call.alive ? read<MASKED, CAREFUL>(call, y, x, channel, lanes)
                    : read<PLAIN, CAREFUL>(call, y, x, channel, lanes);
}

// What each position of row y adds to its nine neighbours, with a zero position at either end.
static void spread_row(const Call& call, const Strip& strip, const Job& job, int64_t y, float* left,
                       float* ring) {
  float* row = ring + (y + 3) % 3 * strip.ring_floats;
  if (y < 0 || y >= call.height) {
    std::memset(row, 0, strip.ring_floats * sizeof(float));
    return;
  }
  for (int64_t x = 0; x < call.width; x += ROWS) {
    for (int64_t i = 0; i < std::min<int64_t>(ROWS, call.width - x); i++)
      for (int64_t channel = 0; channel < strip.depth; channel += LANES) {
        const int64_t lanes = lanes_at(call.inputs, channel);
        expect_to_read(call, (y * call.width + x + i) * call.inputs + channel + SOON);
        const V value = lanes < LANES ? read_row<true>(call, y, x + i, channel, lanes)
                                      : read_row<false>(call, y, x + i, channel, lanes);
        store(left + i * strip.stride + channel, value);
      }
    for (int64_t column = 0; column < strip.columns; column += COLUMNS)
      multiply<false, false>(left, rows_of(strip.stride),
                             job.shared + column / COLUMNS * strip.panel_floats, nullptr,
                             row + (x + 1) * strip.columns + column, strip.columns, ROWS,
                             strip.depth);
  }
  std::memset(row, 0, strip.columns * sizeof(float));
  std::memset(row + (call.width + 1) * strip.columns, 0, strip.columns * sizeof(float));
}

static void take_bands_back(Job& job, int64_t slot) {
  typedef float Few __attribute__((vector_size(16)));
  const Call& call = *job.call;
  const Strip strip = strip_of(call);
  float* left = job.own + slot * job.own_floats;
  float* ring = left + strip.left_floats;
  for (int64_t first; (first = job.next++ * strip.band) < call.height;) {
    spread_row(call, strip, job, first - 1, left, ring);
    spread_row(call, strip, job, first, left, ring);
    for (int64_t y = first; y < std::min(first + strip.band, call.height); y++) {
      spread_row(call, strip, job, y + 1, left, ring);
      for (int64_t x = 0; x < call.width; x++) {
        Few sum = {};
        for (int64_t e = 0; e < 9; e++) {
          const float* row = ring + (y - e / 3 + 4) % 3 * strip.ring_floats;
          Few part;
          std::memcpy(&part, row + (x - e % 3 + 2) * strip.columns + e * call.outputs, sizeof part);
          sum += part;
        }
        for (int64_t c = 0; c < call.outputs; c++)
          call.output[(c * call.height + y) * call.width + x] = sum[c];
      }
    }
  }
}

static void prepare(Job& job, const Call& call, const Strip& strip) {
  job.call = &call;
  job.shared = reinterpret_cast<float*>(call.scratch);
  job.own = job.shared + round_up(strip.depth * strip.columns, 16);
  job.own_floats = strip.own_floats;
}

static void convolve_picture(const Call& call) {
  const Strip strip = strip_of(call);
  Job job;
  prepare(job, call, strip);
  lay_out(strip.depth, strip.depth, call.outputs, job.shared,
          [&](int64_t k, int64_t column) { return call.weight[column * strip.depth + k]; });
  job.work = take_bands, run(job);
}

static void pull_back_to_picture(const Call& call) {
  const Strip strip = strip_of(call);
  Job job;
  prepare(job, call, strip);
  const int64_t channels = call.outputs;
  lay_out(strip.depth, call.inputs, 9 * channels, job.shared, [&](int64_t k, int64_t column) {
    return call.weight[(k * channels + column % channels) * 9 + column / channels];
  });
  job.work = take_bands_back, run(job);
}
