// F Fᵀ: the products of every pair of channels, summed over all positions of (positions, channels).
// Only the blocks on and above the diagonal are computed.
//
// Positions are cut in pieces by their number alone, each with sums of its own, which are added in
// order at the end: no bit depends on how many threads there are.

constexpr int64_t PIECES = 8;
constexpr int64_t AT_ONCE = LEVEL == 5 ? 256 : 128;  // positions that fit into the nearest caches

struct Gram {
  int64_t positions, panels, wide;  // channels in panels of COLUMNS, the last one filled up
  int64_t piece, pieces;            // positions of a piece, how many there are
  int64_t sums_floats, panel_floats, own_floats;
};

static Gram gram_of(const Call& call) {
  Gram gram;
  gram.positions = call.height * call.width;
  gram.panels = (call.inputs + COLUMNS - 1) / COLUMNS;
  gram.wide = gram.panels * COLUMNS;
  gram.piece = std::max(AT_ONCE, round_up((gram.positions + PIECES - 1) / PIECES, AT_ONCE));
  gram.pieces = (gram.positions + gram.piece - 1) / gram.piece;
  gram.sums_floats = gram.wide * gram.wide;
  gram.panel_floats = AT_ONCE * COLUMNS / (LEVEL >= 4 ? 2 : 1);
  gram.own_floats = round_up((LEVEL == 5 ? 2 : 1) * gram.panels * gram.panel_floats, 1024) + 16;
  return gram;
}

static int64_t gram_scratch_bytes(const Call& call) {
  const Gram gram = gram_of(call);
  return (gram.pieces * gram.sums_floats + call.threads * gram.own_floats) * int64_t(sizeof(float));
}

#if LEVEL >= 4
// Lay `count` positions out in pairs, [panel][pair][channel], with zeros up to so many pairs.
static void take_pairs(const Call& call, const Gram& gram, int64_t first, int64_t count,
                       int64_t pairs, float* to) {
  const uint16_t* from = reinterpret_cast<const uint16_t*>(call.input) + first * call.inputs;
  for (int64_t pair = 0; pair < pairs; pair++)
    for (int64_t channel = 0; channel < gram.wide; channel += LANES) {
      const int64_t lanes = std::max<int64_t>(0, lanes_at(call.inputs, channel));
      const uint16_t* at = from + 2 * pair * call.inputs + channel;
      for (int64_t i = 0; i < 2 && begins_line(channel, true); i++)
        expect_to_read(call, (first + AT_ONCE + 2 * pair + i) * call.inputs + channel);
      const __mmask16 there = __mmask16((1u << lanes) - 1);
      const __m256i even = _mm256_maskz_loadu_epi16(2 * pair < count ? there : 0, at);
      const __m256i odd = _mm256_maskz_loadu_epi16(2 * pair + 1 < count ? there : 0, at + call.inputs);
      store(to + channel / COLUMNS * gram.panel_floats + pair * COLUMNS + channel % COLUMNS,
            paired(even, odd));
    }
}
#endif

#if LEVEL == 5
constexpr int64_t STEP = 32;             // positions of one product of tiles, in pairs
constexpr int64_t TURNED = STEP / 2 * COLUMNS;  // floats of a step's other operand

// Lay positions out in pairs, [panel][pair][channel], and turned round, [panel][step][channel][pair].
static void take_positions(const Call& call, const Gram& gram, int64_t first, int64_t count,
                           float* pairs) {
  float* turned = pairs + gram.panels * gram.panel_floats;
  const int64_t steps = (count + STEP - 1) / STEP;
  take_pairs(call, gram, first, count, steps * STEP / 2, pairs);
  const __m512i down = _mm512_mullo_epi32(
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
      _mm512_set1_epi32(COLUMNS));
  for (int64_t panel = 0; panel < gram.panels; panel++)
    for (int64_t step = 0; step < steps; step++) {
      const float* of = pairs + panel * gram.panel_floats + step * TURNED;
      float* to = turned + panel * gram.panel_floats + step * TURNED;
      for (int64_t channel = 0; channel < COLUMNS; channel++)
        store(to + channel * (STEP / 2), V(_mm512_i32gather_ps(down, of + channel, 4)));
    }
}

// Add the products of two panels' channels to sums[COLUMNS][COLUMNS], rows `wide` apart.
static void multiply_panels(const Gram& gram, const float* pairs, int64_t row, int64_t column,
                            int64_t count, float* sums) {
  const float* left = pairs + (gram.panels + row) * gram.panel_floats;
  const float* right = pairs + column * gram.panel_floats;
  const int64_t wide = gram.wide, bytes = wide * 4;
  _tile_loadd(0, sums, bytes);
  _tile_loadd(1, sums + 16, bytes);
  _tile_loadd(2, sums + 16 * wide, bytes);
  _tile_loadd(3, sums + 16 * wide + 16, bytes);
  for (int64_t at = 0; at < count; at += STEP, left += TURNED, right += TURNED) {
    _tile_loadd(4, left, 64);
    _tile_loadd(5, left + TURNED / 2, 64);
    _tile_loadd(6, right, COLUMNS * 4);
    _tile_loadd(7, right + 16, COLUMNS * 4);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums, bytes);
  _tile_stored(1, sums + 16, bytes);
  _tile_stored(2, sums + 16 * wide, bytes);
  _tile_stored(3, sums + 16 * wide + 16, bytes);
}
#else
// Lay positions out in panels, [panel][position][channel]; 16 bit in pairs of them.
static void take_positions(const Call& call, const Gram& gram, int64_t first, int64_t count,
                           float* panels) {
#if LEVEL == 4
  take_pairs(call, gram, first, count, (count + 1) / 2, panels);
#else
  for (int64_t i = 0; i < count; i++)
    for (int64_t channel = 0; channel < gram.wide; channel += LANES) {
      const int64_t lanes = lanes_at(call.inputs, channel), at = (first + i) * call.inputs + channel;
      if (begins_line(channel, false)) expect_to_read(call, at + AT_ONCE * call.inputs);
      store(panels + channel / COLUMNS * gram.panel_floats + i * COLUMNS + channel % COLUMNS,
            fetch<true>(call, at, std::max<int64_t>(0, lanes)));
    }
#endif
}

// Add the products of two panels' channels to sums[COLUMNS][COLUMNS], rows `wide` apart.
static void multiply_panels(const Gram& gram, const float* panels, int64_t row, int64_t column,
                            int64_t count, float* sums) {
  constexpr int64_t DOWN = LEVEL >= 3 ? 8 : 4;  // sums that registers hold
  const float* left = panels + row * gram.panel_floats;
  const float* right = panels + column * gram.panel_floats;
  const int64_t lines = HALF ? (count + 1) / 2 : count;
  for (int64_t r = 0; r < COLUMNS; r += DOWN, left += DOWN) {
    V found[DOWN][VECTORS] = {};
    for (int64_t i = 0; i < lines; i++) {
      V with[VECTORS];
      for (int v = 0; v < VECTORS; v++) with[v] = load(right + i * COLUMNS + v * LANES);
#pragma GCC unroll 8
      for (int64_t k = 0; k < DOWN; k++)
        for (int v = 0; v < VECTORS; v++) add_product(found[k][v], left[i * COLUMNS + k], with[v]);
    }
    for (int64_t k = 0; k < DOWN; k++)
      for (int v = 0; v < VECTORS; v++) {
        float* at = sums + (r + k) * gram.wide + v * LANES;
        store(at, load(at) + found[k][v]);
      }
  }
}
#endif

static void take_pieces(Job& job, int64_t slot) {
  const Call& call = *job.call;
  const Gram gram = gram_of(call);
  float* own = job.own + slot * gram.own_floats;
#if LEVEL == 5
  configure_tiles();
#endif
  for (int64_t piece; (piece = job.next++) < gram.pieces;) {
    float* sums = job.shared + piece * gram.sums_floats;
    std::memset(sums, 0, gram.sums_floats * sizeof(float));
    const int64_t last = std::min((piece + 1) * gram.piece, gram.positions);
    for (int64_t first = piece * gram.piece; first < last; first += AT_ONCE) {
      const int64_t count = std::min(AT_ONCE, last - first);
      take_positions(call, gram, first, count, own);
      for (int64_t row = 0; row < gram.panels; row++)
        for (int64_t column = row; column < gram.panels; column++)
          multiply_panels(gram, own, row, column, count,
                          sums + (row * gram.wide + column) * COLUMNS);
    }
  }
#if LEVEL == 5
  _tile_release();
#endif
}

// Add up the pieces of a row of panels; write it, and turned round what lies below the diagonal.
static void add_pieces(Job& job, int64_t) {
  const Call& call = *job.call;
  const Gram gram = gram_of(call);
  const int64_t channels = call.inputs;
  alignas(64) float block[COLUMNS * COLUMNS];
  for (int64_t row; (row = job.next++ * COLUMNS) < channels;)
    for (int64_t column = row; column < channels; column += COLUMNS) {
      for (int64_t r = 0; r < COLUMNS; r++)
        for (int64_t c = 0; c < COLUMNS; c += LANES) {
          const float* from = job.shared + (row + r) * gram.wide + column + c;
          V sum = {};
          for (int64_t piece = 0; piece < gram.pieces; piece++, from += gram.sums_floats)
            sum += load(from);
          store(block + r * COLUMNS + c, sum);
        }
      const int64_t high = std::min<int64_t>(COLUMNS, channels - row);
      const int64_t across = std::min<int64_t>(COLUMNS, channels - column);
      for (int64_t r = 0; r < high; r++)
        for (int64_t c = 0; c < across; c++)
          if (row + r <= column + c)
            call.output[(row + r) * channels + column + c] = block[r * COLUMNS + c];
      for (int64_t c = 0; c < across; c++)
        for (int64_t r = 0; r < high; r++)
          if (row + r < column + c)
            call.output[(column + c) * channels + row + r] = block[r * COLUMNS + c];
    }
}

static void correlate(const Call& call) {
  const Gram gram = gram_of(call);
  Job job;
  job.call = &call;
  job.shared = reinterpret_cast<float*>(call.scratch);
  job.own = job.shared + gram.pieces * gram.sums_floats;
  job.work = take_pieces, run(job);
  job.work = add_pieces, run(job);
}
