// How a position is read and written: ReLU, bits and pools, and the edges of the picture.

// How a position is read: as it lies, behind a ReLU, or behind a pool and a ReLU.
enum Reading { PLAIN, MASKED, FROM_MAX, FROM_AVERAGE };

template <int READING, bool CAREFUL>
INLINE V read(const Call& call, int64_t y, int64_t x, int64_t channel, int64_t lanes) {
  constexpr bool POOLED = READING >= FROM_MAX;
  const int64_t wide = POOLED ? pooled(call, call.width) : call.width;
  if (CAREFUL) {
    const int64_t high = POOLED ? pooled(call, call.height) : call.height;
    const bool inside = y >= 0 && x >= 0 && y < call.height && x < call.width &&
                        y >> POOLED < high && x >> POOLED < wide;
    if (!inside || lanes <= 0) return V{};
  }
  const int64_t place = (y >> POOLED) * wide + (x >> POOLED);
  V value = fetch<CAREFUL>(call, place * call.inputs + channel, lanes);
  if (READING == FROM_AVERAGE) {
    const bool alone_y = CAREFUL && (y | 1) >= call.height;  // the window hangs over the edge
    const bool alone_x = CAREFUL && (x | 1) >= call.width;
    value *= 0.25f * (1 + alone_y) * (1 + alone_x);
  }
  if (READING == PLAIN || (READING == FROM_AVERAGE && !call.alive)) return value;
  const uint8_t* bits = call.alive + (y * call.width + x) * ((call.inputs + 7) / 8) + channel / 8;
  return keep(value, CAREFUL && LANES == 16 && lanes <= 8 ? *bits : load_bits(bits, channel));
}

// Zero stays for what is not above it; a NaN passes, so that the loss shows it.
#if LEVEL == 2
INLINE V rectified(V x) { return V(_mm256_max_ps(__m256(V{}), __m256(x))); }
#else
INLINE V rectified(V x) { return V{} > x ? V{} : x; }
#endif

INLINE void write(const Call& call, int64_t y, int64_t x, int64_t channel, V value) {
  const int64_t lanes = lanes_at(call.outputs, channel);
  const int64_t place = y * call.width + x;
  if (!call.back && call.alive)
    store_bits(call.alive + place * ((call.outputs + 7) / 8) + channel / 8, channel, lanes,
               where(value > 0));
  if (call.rectify) value = rectified(value);
  deposit(call, place * call.outputs + channel, lanes, value);
}

// Pool the window at (y, x), both even, of a tile's rectified values.
INLINE void write_pooled(const Call& call, int64_t y, int64_t x, int64_t channel,
                         const V values[4]) {
  const int64_t lanes = lanes_at(call.outputs, channel);
  const int64_t wide = call.width - x, high = call.height - y;  // 1: the window hangs over the edge
  const bool there[4] = {true, wide > 1, high > 1, wide > 1 && high > 1};
  V result = values[0];
  if (call.pool == MAX_POOL) {
#pragma GCC unroll 4
    for (int i = 1; i < 4; i++)
      if (there[i]) result = result > values[i] ? result : values[i];
  } else {
    result = V{};
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
      if (there[i]) result += rectified(values[i]);
    result *= wide > 1 && high > 1 ? 0.25f : wide > 1 || high > 1 ? 0.5f : 1.0f;
  }
  if (call.alive) {
    const int64_t bytes = (call.outputs + 7) / 8;
    uint8_t* to = call.alive + (y * call.width + x) * bytes + channel / 8;
    unsigned open = call.pool == MAX_POOL ? where(result > 0) : ~0u;
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      if (!there[i]) continue;
      const unsigned bits =
          open & (call.pool == MAX_POOL ? where(values[i] == result) : where(values[i] > 0));
      if (call.pool == MAX_POOL) open &= ~bits;  // of equals, the first
      store_bits(to + ((i / 2) * call.width + i % 2) * bytes, channel, lanes, bits);
    }
  }
  if (y / 2 >= pooled(call, call.height) || x / 2 >= pooled(call, call.width)) return;
  if (call.pool == MAX_POOL) result = rectified(result);
  const int64_t window = (y / 2) * pooled(call, call.width) + x / 2;
  deposit(call, window * call.outputs + channel, lanes, result);
}
