// AMX: 16 bit, no Winograd. Sixteen times the multiplications of a vector unit leave nothing
// to save by transforms, and a plain sum of 16-bit products is four times as exact.

constexpr int64_t CACHE = 512 << 10;  // bytes of one band, a part of the second cache
constexpr int BLOCK = 32;  // channels of one step of the sum; positions and columns of one block

// The work is cut in bands of rows. A band's input is turned to 16 bit with a border of one
// position; its rows then lie one behind another, so that any 32 positions in line, and their
// neighbours above and below, are read by one stride, across the ends of rows. What comes of the
// border is left.
struct Bands {
  int64_t depth, panels;               // channels filled up, groups of output channels
  int64_t wide, pixel;                 // positions in a row, 16-bit values of one
  int64_t rows, count, places;         // of a band; bands; positions that are computed, filled up
  int64_t panel_floats, shared_floats, input_floats, own_floats;
};

static Bands bands_of(const Call& call) {
  Bands bands;
  bands.depth = round_up(call.inputs, BLOCK);
  bands.panels = round_up(call.outputs, BLOCK) / BLOCK;
  bands.wide = call.width + 2;
  bands.pixel = bands.depth + BLOCK;  // no multiple of 1 KB: positions would share a line of cache
  const int64_t most = std::max<int64_t>(2, CACHE / (bands.wide * bands.pixel * 2) - 2);
  bands.count = round_up((call.height + most - 1) / most, call.threads);
  bands.rows = round_up((call.height + bands.count - 1) / bands.count, 2);
  bands.count = (call.height + bands.rows - 1) / bands.rows;
  bands.places = round_up(bands.rows * bands.wide, BLOCK);
  bands.panel_floats = bands.depth * 9 * BLOCK / 2;
  bands.shared_floats = bands.panels * bands.panel_floats;
  // The last block reads two rows and two positions on from its own.
  bands.input_floats = round_up((bands.places + 2 * bands.wide + 2) * bands.pixel / 2, 16);
  bands.own_floats = round_up(bands.input_floats + bands.places * BLOCK, 1024) + 16;
  return bands;
}

static int64_t scratch_bytes(const Call& call) {
  const Bands bands = bands_of(call);
  return (bands.shared_floats + call.threads * bands.own_floats) * int64_t(sizeof(float));
}

// Lay the filters out by blocks of channels, then taps: [depth / 32][9][16 pairs][COLUMNS].
static void take_filters(Job& job, int64_t) {
  const Call& call = *job.call;
  const Bands bands = bands_of(call);
  alignas(64) float taps[GATHERED * 9 * COLUMNS];
  for (int64_t panel; (panel = job.next++) < bands.panels;) {
    float* to = job.shared + panel * bands.panel_floats;
    for (int64_t channel = 0; channel < bands.depth; channel += 2) {
      if (channel % GATHERED == 0) gather(call, channel, panel * COLUMNS, taps);
      for (int64_t e = 0; e < 9; e++)
        for (int64_t v = 0; v < VECTORS; v++) {
          const float* even = taps + (channel % GATHERED * 9 + e) * COLUMNS + v * LANES;
          const int64_t row = (channel / BLOCK * 9 + e) * (BLOCK / 2) + channel % BLOCK / 2;
          put_pair(to + row * COLUMNS + v * LANES, load(even), load(even + 9 * COLUMNS));
        }
    }
  }
}

template <int READING>
static void read_band(const Call& call, const Bands& bands, int64_t first, float* to) {
  for (int64_t i = 0; i < bands.rows + 2; i++)
    for (int64_t j = 0; j < bands.wide; j++) {
      const int64_t y = first + i - 1, x = j - 1;
      const bool edge = y < 0 || x < 0 || y + 1 >= call.height || x + 1 >= call.width;
      float* at = to + (i * bands.wide + j) * bands.pixel / 2;
      for (int64_t channel = 0; channel < bands.depth; channel += LANES) {
        const int64_t lanes = lanes_at(call.inputs, channel);
        const V value = edge || lanes < LANES ? read<READING, true>(call, y, x, channel, lanes)
                                              : read<READING, false>(call, y, x, channel, lanes);
        put(at, channel / LANES, value);
      }
    }
}

// sums[32][COLUMNS] of 32 positions in line: over blocks of channels, then the nine neighbours.
static void multiply(const Bands& bands, const float* input, const float* panel, float* sums) {
  const int64_t pixel = bands.pixel / 2, bytes = bands.pixel * 2;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t channel = 0; channel < bands.depth; channel += BLOCK)
    for (int64_t e = 0; e < 9; e++, panel += BLOCK / 2 * COLUMNS) {
      const float* at = input + (e / 3 * bands.wide + e % 3) * pixel + channel / 2;
      _tile_loadd(4, at, bytes);
      _tile_loadd(5, at + 16 * pixel, bytes);
      _tile_loadd(6, panel, COLUMNS * 4);
      _tile_loadd(7, panel + 16, COLUMNS * 4);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  _tile_stored(0, sums, COLUMNS * 4);
  _tile_stored(1, sums + 16, COLUMNS * 4);
  _tile_stored(2, sums + 16 * COLUMNS, COLUMNS * 4);
  _tile_stored(3, sums + 16 * COLUMNS + 16, COLUMNS * 4);
}

static void finish_band(const Call& call, const Bands& bands, int64_t first, int64_t column,
                        const float* sums) {
  const int64_t high = std::min(bands.rows, call.height - first), down = bands.wide * COLUMNS;
  for (int64_t channel = column; channel < std::min(column + COLUMNS, call.outputs);
       channel += LANES) {
    V bias = {};
    if (call.bias) bias = load_some(call.bias + channel, lanes_at(call.outputs, channel));
    const float* at = sums + channel - column;
    if (call.pool && !call.back) {
      for (int64_t i = 0; i < high; i += 2)
        for (int64_t j = 0; j < call.width; j += 2) {
          const float* from = at + i * down + j * COLUMNS;
          const V window[4] = {load(from) + bias, load(from + COLUMNS) + bias,
                               load(from + down) + bias, load(from + down + COLUMNS) + bias};
          write_pooled(call, first + i, j, channel, window);
        }
    } else {
      for (int64_t i = 0; i < high; i++)
        for (int64_t j = 0; j < call.width; j++)
          write(call, first + i, j, channel, load(at + i * down + j * COLUMNS) + bias);
    }
  }
}

static void take_bands(Job& job, int64_t slot) {
  const Call& call = *job.call;
  const Bands bands = bands_of(call);
  float* input = job.own + slot * job.own_floats;
  float* sums = input + bands.input_floats;
  struct {
    uint8_t palette = 1, start = 0, zero[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } tiles;
  _tile_loadconfig(&tiles);
  for (int64_t first; (first = job.next++ * bands.rows) < call.height;) {
    if (call.back && call.pool == MAX_POOL)
      read_band<FROM_MAX>(call, bands, first, input);
    else if (call.back && call.pool == AVERAGE_POOL)
      read_band<FROM_AVERAGE>(call, bands, first, input);
    else if (call.back && call.alive)
      read_band<MASKED>(call, bands, first, input);
    else
      read_band<PLAIN>(call, bands, first, input);
    const int64_t high = std::min(bands.rows, call.height - first);
    for (int64_t panel = 0; panel < bands.panels; panel++) {
      for (int64_t place = 0; place < high * bands.wide; place += BLOCK)
        multiply(bands, input + place * bands.pixel / 2, job.shared + panel * bands.panel_floats,
                 sums + place * COLUMNS);
      finish_band(call, bands, first, panel * COLUMNS, sums);
    }
  }
  _tile_release();
}

static void convolve(const Call& call) {
  const Bands bands = bands_of(call);
  Job job;
  job.call = &call;
  job.shared = reinterpret_cast<float*>(call.scratch);
  job.own = job.shared + bands.shared_floats;
  job.own_floats = bands.own_floats;
  job.work = take_filters, run(job);
  job.work = take_bands, run(job);
}
