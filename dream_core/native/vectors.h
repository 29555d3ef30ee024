// A vector of floats, as one register of this path holds it; one bit for each lane; its 16-bit form.

// 16 bit: a vector's pair of neighbouring channels shares the four bytes of one float.
constexpr bool HALF = LEVEL == 4;
constexpr bool SMALL_CACHE = LEVEL < 3;   // of a core: what follows is fetched ahead throughout
constexpr int CACHE_LINE = 16;            // floats
constexpr int COLUMNS = LANES * VECTORS;  // output channels in one panel of the multiplication

typedef float V __attribute__((vector_size(LANES * 4)));
typedef int32_t I __attribute__((vector_size(LANES * 4)));

#define INLINE static inline __attribute__((always_inline))

// At any float's address.
typedef V Loose __attribute__((aligned(4)));
INLINE V load(const float* at) { return *reinterpret_cast<const Loose*>(at); }
INLINE void store(float* at, V x) { *reinterpret_cast<Loose*>(at) = x; }

#if LEVEL < 3
// Step on, so that the compiler counts no addresses of later steps ahead.
template <class T>
INLINE T* walk(T* at, int64_t step) {
  at += step;
  asm("" : "+r"(at));
  return at;
}
#endif

// How many of `channels` lie in the vector from `channel` on.
INLINE int64_t lanes_at(int64_t channels, int64_t channel) {
  return std::min<int64_t>(LANES, channels - channel);
}

INLINE V load_some(const float* at, int64_t lanes) {
  if (lanes == LANES) return load(at);
  V x = {};
  if (lanes > 0) std::memcpy(&x, at, lanes * sizeof(float));
  return x;
}

// ---- one bit for each lane, eight channels in a byte

#if LEVEL >= 3
INLINE unsigned where(I mask) { return _mm512_movepi32_mask(__m512i(mask)); }
INLINE V keep(V x, unsigned bits) { return V(_mm512_maskz_mov_ps(__mmask16(bits), __m512(x))); }
#else
#if LEVEL == 2
INLINE unsigned where(I mask) { return unsigned(_mm256_movemask_ps(__m256(mask))); }
INLINE V keep(V x, unsigned bits) {
  const I lanes = {1, 2, 4, 8, 16, 32, 64, 128};
  return V(I(x) & ((I(_mm256_set1_epi8(char(bits))) & lanes) == lanes));
}
#else
INLINE V keep(V x, unsigned bits) {
  const I lanes = {1, 2, 4, 8};
  return V(I(x) & ((lanes & int32_t(bits)) != 0));
}
INLINE unsigned where(I mask) {
  unsigned bits = 0;
  for (int i = 0; i < LANES; i++) bits |= unsigned(mask[i] & 1) << i;
  return bits;
}
#endif
#endif

// Of the channels from `channel` on, whose byte is at `at`.
INLINE unsigned load_bits(const uint8_t* at, int64_t channel) {
  if (LANES == 4) return *at >> channel % 8;
  if (LANES == 8) return *at;
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  return bits;
}

// The first half of a byte is stored before the second.
INLINE void store_bits(uint8_t* at, int64_t channel, int64_t lanes, unsigned bits) {
  at[0] = uint8_t(LANES == 4 && channel % 8 ? *at | bits << 4 : bits);
  if (lanes > 8) at[1] = uint8_t(bits >> 8);
}

// ---- 16 bit

#if LEVEL >= 4
INLINE __m256i halved(V x) { return __m256i(_mm512_cvtneps_pbh(__m512(x))); }
INLINE V whole(__m256i x) { return V(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }

// Each float of what is multiplied holds a pair: even channels in its lower half, odd ones above.
INLINE V paired(__m256i even, __m256i odd) {
  const __m512i lower = _mm512_cvtepu16_epi32(even), upper = _mm512_cvtepu16_epi32(odd);
  return V(_mm512_or_si512(lower, _mm512_slli_epi32(upper, 16)));
}
INLINE void put_pair(float* at, V even, V odd) { store(at, paired(halved(even), halved(odd))); }
#endif

// Put a vector of neighbouring channels.
INLINE void put(float* at, V x) {
#if LEVEL >= 4
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), halved(x));
#else
  store(at, x);
#endif
}

// ---- what a call reads and writes: `lanes` of its values from the `at`-th on, all if not CAREFUL

// Whether a line of the cache begins at a channel, where a position's channels begin one.
INLINE bool begins_line(int64_t channel, bool half) {
  return channel % (half ? 2 * CACHE_LINE : CACHE_LINE) == 0;
}

// Have the caches fetch the line of the `at`-th value, which will be read or written.
INLINE void expect_to_read(const Call& call, int64_t at) {
  __builtin_prefetch(reinterpret_cast<const char*>(call.input) + at * (call.half & 1 ? 2 : 4));
}
INLINE void expect_to_write(const Call& call, int64_t at) {
  __builtin_prefetch(reinterpret_cast<char*>(call.output) + at * (call.half & 2 ? 2 : 4), 1);
}

template <bool CAREFUL>
INLINE V fetch(const Call& call, int64_t at, int64_t lanes) {
#if LEVEL >= 4
  if (call.half & 1) {
    const uint16_t* from = reinterpret_cast<const uint16_t*>(call.input) + at;
    if (CAREFUL) return whole(_mm256_maskz_loadu_epi16(__mmask16((1u << lanes) - 1), from));
    return whole(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
#endif
  return CAREFUL ? load_some(call.input + at, lanes) : load(call.input + at);
}

INLINE void deposit(const Call& call, int64_t at, int64_t lanes, V x) {
#if LEVEL >= 4
  if (call.half & 2) {
    uint16_t* to = reinterpret_cast<uint16_t*>(call.output) + at;
    if (lanes == LANES) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), halved(x));
    return _mm256_mask_storeu_epi16(to, __mmask16((1u << lanes) - 1), halved(x));
  }
#endif
  if (lanes == LANES)
    store(call.output + at, x);
  else
    std::memcpy(call.output + at, &x, lanes * sizeof(float));
}
