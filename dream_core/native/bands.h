// AMX: 16 bit, no Winograd. Sixteen times the multiplications of a vector unit leave nothing
// to save by transforms, and a plain sum of 16-bit products is four times as exact.

constexpr int64_t CACHE = 1 << 20;  // bytes of one band's input, half of the second cache
constexpr int64_t SLAB = 1024;      // positions whose sums are finished at once
constexpr int BLOCK = 32;  // channels of one step of the sum; positions and columns of one block
constexpr int BLOCKS = 4;  // of positions that share filters in the first cache

// The work is cut in bands of rows. A band's input is turned to 16 bit with a border of one
// position, in planes of 32 channels; in each, rows lie one behind another, so that any 16 positions
// in line, and their neighbours above and below, are 1 KB in one piece, across the ends of rows.
// What comes of the border is left.
struct Bands {
  int64_t depth, panels;       // channels filled up, groups of output channels
  int64_t wide, rows, count;   // positions in a row; rows of a band; bands
  int64_t slab;                // rows of a band that are finished at once
  int64_t plane;               // floats of a plane of the input, two channels in each
  int64_t panel_floats, shared_floats, input_floats, own_floats;
};

static Bands bands_of(const Call& call) {
  Bands bands;
  bands.depth = round_up(call.inputs, BLOCK);
  bands.panels = round_up(call.outputs, BLOCK) / BLOCK;
  bands.wide = call.width + 2;
  const int64_t most = std::max<int64_t>(2, CACHE / (bands.wide * bands.depth * 2) - 2);
  const int64_t rows = call.bottom - call.top;
  bands.count = round_up((rows + most - 1) / most, call.threads);
  bands.rows = round_up((rows + bands.count - 1) / bands.count, 2);
  bands.count = (rows + bands.rows - 1) / bands.rows;
  bands.slab = std::min(bands.rows, round_up((SLAB + bands.wide - 1) / bands.wide, 2));
  bands.panel_floats = bands.depth * 9 * BLOCK / 2;
  bands.shared_floats = bands.panels * bands.panel_floats;
  // The last block reads two rows and two positions on from its own.
  bands.plane = ((bands.rows + 2) * bands.wide + BLOCK + 2) * BLOCK / 2;
  bands.input_floats = bands.depth / BLOCK * bands.plane;
  const int64_t sums = round_up(bands.slab * bands.wide, BLOCK) * BLOCK;
  bands.own_floats = round_up(bands.input_floats + sums, 1024) + 16;  // the 16 are a Band
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

// Read 16-bit channels, all 32 of each plane, as they lie or where their bits are set.
template <int READING>
INLINE void read_halves(const Call& call, const Bands& bands, int64_t y, int64_t x, float* to) {
  constexpr bool POOLED = READING == FROM_MAX;
  const int64_t place = (y >> POOLED) * (POOLED ? pooled(call, call.width) : call.width) +
                        (x >> POOLED);
  const uint16_t* from = reinterpret_cast<const uint16_t*>(call.input) + place * call.inputs;
  const uint8_t* bits = call.alive + (y * call.width + x) * (call.inputs / 8);
  for (int64_t channel = 0; channel < bands.depth; channel += BLOCK, to += bands.plane) {
    __m512i value = _mm512_loadu_si512(from + channel);
    if (READING != PLAIN) {
      uint32_t set;
      std::memcpy(&set, bits + channel / 8, 4);
      value = _mm512_maskz_mov_epi16(set, value);
    }
    _mm512_storeu_si512(to, value);
  }
}

template <int READING>
static void read_band(const Call call, const Bands bands, int64_t first, int64_t high, float* to) {
  const bool halves = READING != FROM_AVERAGE && call.half & 1 && call.inputs % BLOCK == 0;
  constexpr bool POOLED = READING >= FROM_MAX;
  const int64_t last_y = POOLED ? std::min(call.height, 2 * pooled(call, call.height)) : call.height;
  const int64_t last_x = POOLED ? std::min(call.width, 2 * pooled(call, call.width)) : call.width;
  for (int64_t i = 0; i < high + 2; i++)
    for (int64_t j = 0; j < bands.wide; j++) {
      const int64_t y = first + i - 1, x = j - 1;
      float* at = to + (i * bands.wide + j) * BLOCK / 2;
      if (y < 0 || x < 0 || y >= last_y || x >= last_x) {
        for (int64_t channel = 0; channel < bands.depth; channel += BLOCK)
          std::memset(at + channel / BLOCK * bands.plane, 0, BLOCK * 2);
        continue;
      }
      if (halves) {
        read_halves<READING>(call, bands, y, x, at);
        continue;
      }
      const bool edge = y + 1 >= call.height || x + 1 >= call.width;
      for (int64_t channel = 0; channel < bands.depth; channel += LANES) {
        const int64_t lanes = lanes_at(call.inputs, channel);
        const V value = edge || lanes < LANES ? read<READING, true>(call, y, x, channel, lanes)
                                              : read<READING, false>(call, y, x, channel, lanes);
        put(at + channel / BLOCK * bands.plane + channel % BLOCK / 2, value);
      }
    }
}

// Add one block of channels, at all nine neighbours, to the sums[32][COLUMNS] of 32 positions.
INLINE void multiply_block(const Bands& bands, const float* input, const float* panel, float* sums,
                           bool first) {
  if (first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, sums, COLUMNS * 4);
    _tile_loadd(1, sums + 16, COLUMNS * 4);
    _tile_loadd(2, sums + 16 * COLUMNS, COLUMNS * 4);
    _tile_loadd(3, sums + 16 * COLUMNS + 16, COLUMNS * 4);
  }
#pragma GCC unroll 9
  for (int64_t e = 0; e < 9; e++, panel += BLOCK / 2 * COLUMNS) {
    const float* at = input + (e / 3 * bands.wide + e % 3) * (BLOCK / 2);
    _tile_loadd(4, at, BLOCK * 2);
    _tile_loadd(5, at + 16 * BLOCK / 2, BLOCK * 2);
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

// sums[places][COLUMNS]: a few blocks of positions go through all channels together.
static void multiply(const Bands& bands, const float* input, const float* panel, float* sums,
                     int64_t places) {
  constexpr int64_t STEP = BLOCK * BLOCKS;
  for (int64_t from = 0; from < places; from += STEP)
    for (int64_t plane = 0; plane < bands.depth / BLOCK; plane++)
      for (int64_t place = from; place < std::min(from + STEP, places); place += BLOCK)
        multiply_block(bands, input + plane * bands.plane + place * (BLOCK / 2),
                       panel + plane * 9 * (BLOCK / 2) * COLUMNS, sums + place * COLUMNS,
                       plane == 0);
}

// Finish `high` rows of COLUMNS output channels from `first` on. The call is a copy: what is
// written could be anything else's, and all of it would be read again at every position.
static void finish_rows(const Call call, int64_t wide, int64_t first, int64_t high, int64_t column,
                        const float* sums) {
  const int64_t down = wide * COLUMNS, columns = std::min<int64_t>(COLUMNS, call.outputs - column);
  V bias[VECTORS] = {};
  if (call.bias)
    for (int64_t c = 0; c < columns; c += LANES)
      bias[c / LANES] = load_some(call.bias + column + c, lanes_at(columns, c));
  if (call.pool && !call.back) {
    for (int64_t i = 0; i < high; i += 2)
      for (int64_t j = 0; j < call.width; j += 2)
        for (int64_t c = 0; c < columns; c += LANES) {
          const float* from = sums + i * down + j * COLUMNS + c;
          const V add = bias[c / LANES];
          const V window[4] = {load(from) + add, load(from + COLUMNS) + add,
                               load(from + down) + add, load(from + down + COLUMNS) + add};
          write_pooled(call, first + i, j, column + c, window);
        }
    return;
  }
  for (int64_t i = 0; i < high; i++)
    for (int64_t j = 0; j < call.width; j++)
      for (int64_t c = 0; c < columns; c += LANES)
        write(call, first + i, j, column + c,
              load(sums + i * down + j * COLUMNS + c) + bias[c / LANES]);
}

static void configure_tiles() {
  struct {
    uint8_t palette = 1, start = 0, zero[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } tiles;
  // The intrinsic names only the first 8 bytes as read, so the others could be left unwritten.
  asm volatile("" : : "r"(&tiles) : "memory");
  _tile_loadconfig(&tiles);
}

// The band that a thread has in hand. Who finds no band left takes panels of another's: where a
// thread has lost its core for a moment, all share what it is behind.
struct Band {
  std::atomic<int64_t> next;  // panel; below 0 while the input is read
  int64_t first, high;        // rows
};

// In the last 64 bytes of what a thread calls its own.
inline Band& band_of(Job& job, int64_t slot) {
  return *reinterpret_cast<Band*>(job.own + (slot + 1) * job.own_floats - 16);
}

// Finish a band's panels, one after the other, until none is left.
static void take_panels(Job& job, const Bands& bands, int64_t of, float* sums) {
  const Call& call = *job.call;
  Band& band = band_of(job, of);
  const float* input = job.own + of * job.own_floats;
  for (int64_t panel = band.next; panel < bands.panels;) {
    if (panel < 0) {
      panel = band.next;
      continue;
    }
    if (!band.next.compare_exchange_weak(panel, panel + 1)) continue;
    for (int64_t row = 0; row < band.high; row += bands.slab) {
      const int64_t rows = std::min(bands.slab, band.high - row);
      multiply(bands, input + row * bands.wide * (BLOCK / 2),
               job.shared + panel * bands.panel_floats, sums, rows * bands.wide);
      finish_rows(call, bands.wide, band.first + row, rows, panel * COLUMNS, sums);
    }
    panel = band.next;
  }
}

static void take_bands(Job& job, int64_t slot) {
  const Call& call = *job.call;
  const Bands bands = bands_of(call);
  float* input = job.own + slot * job.own_floats;
  float* sums = input + bands.input_floats;
  Band& band = band_of(job, slot);
  configure_tiles();
  for (;;) {
    band.next = -1;
    const int64_t first = call.top + job.next++ * bands.rows;
    if (first >= call.bottom) break;  // another may still be at the last one: it stays as it is
    band.first = first, band.high = std::min(bands.rows, call.bottom - first);
    if (call.back && call.pool == MAX_POOL)
      read_band<FROM_MAX>(call, bands, band.first, band.high, input);
    else if (call.back && call.pool == AVERAGE_POOL)
      read_band<FROM_AVERAGE>(call, bands, band.first, band.high, input);
    else if (call.back && call.alive)
      read_band<MASKED>(call, bands, band.first, band.high, input);
    else
      read_band<PLAIN>(call, bands, band.first, band.high, input);
    band.next = 0;
    take_panels(job, bands, slot, sums);
  }
  band.next = bands.panels;
  for (int64_t other = 1; other < call.threads; other++)
    take_panels(job, bands, (slot + other) % call.threads, sums);
  _tile_release();
}

static void convolve(const Call& call) {
  const Bands bands = bands_of(call);
  Job job;
  job.call = &call;
  job.shared = reinterpret_cast<float*>(call.scratch);
  job.own = job.shared + bands.shared_floats;
  job.own_floats = bands.own_floats;
  for (int64_t slot = 0; slot < call.threads; slot++) new (&band_of(job, slot)) Band{{bands.panels}};
  job.work = take_filters, run(job);
  job.work = take_bands, run(job);
}
