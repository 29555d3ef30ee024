// The instructions of AVX2, AVX-512 and AMX that the kernel names, in plain C++: its paths then run
// on any x86-64, for tests. `-include` it before winograd.cpp; what is left of vectors there the
// compiler lowers to what `-march` allows.
//
// Roundings are the instructions' own: bfloat16 to nearest even, denormal numbers as zeros, float32
// sums in the order that Intel's manual tells. Only a sum on its way may be denormal here. What a
// mask leaves out is not touched. Tiles are there between `_tile_loadconfig` and `_tile_release`;
// whoever uses them before or after is stopped, as a CPU does it.

#pragma once

#if !defined(__x86_64__) || defined(__clang__)
#error "the kernel has these paths on x86-64, by GCC"
#endif

#define DREAM_EMULATED  // see winograd.cpp

#include <immintrin.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace emulated {

typedef float Floats __attribute__((vector_size(64), may_alias));
typedef uint32_t Bits __attribute__((vector_size(64), may_alias));
typedef int32_t Numbers __attribute__((vector_size(64), may_alias));
typedef uint16_t Halves __attribute__((vector_size(32), may_alias));
typedef float EightFloats __attribute__((vector_size(32), may_alias));

constexpr uint32_t UPPER = 0xffff0000, SIGN = 0x80000000, EXPONENT = 0x7f800000;
constexpr int LANES = 16;

[[noreturn]] inline void stop(const char* why) {
  std::fprintf(stderr, "emulated: %s\n", why);
  std::abort();
}

// ---- AVX2

inline __m256 max_ps(__m256 a, __m256 b) { return a > b ? a : b; }

inline int movemask_ps(__m256 x) {
  uint32_t bits[8];
  std::memcpy(bits, &x, sizeof bits);
  int mask = 0;
  for (int i = 0; i < 8; i++) mask |= int(bits[i] >> 31) << i;
  return mask;
}

inline __m256i set1_epi8(char value) {
  __m256i all;
  std::memset(&all, value, sizeof all);
  return all;
}

inline __m256i loadu_si256(const void* at) {
  __m256i x;
  std::memcpy(&x, at, sizeof x);
  return x;
}

inline void storeu_si256(void* at, __m256i x) { std::memcpy(at, &x, sizeof x); }

// ---- AVX-512

inline __m512i loadu_si512(const void* at) {
  __m512i x;
  std::memcpy(&x, at, sizeof x);
  return x;
}

inline void storeu_si512(void* at, __m512i x) { std::memcpy(at, &x, sizeof x); }

inline __m512 set1_ps(float value) { return Floats{} + value; }
inline __m512i set1_epi32(int value) { return __m512i(Numbers{} + value); }

inline __m512i setr_epi32(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j,
                          int k, int l, int m, int n, int o, int p) {
  return __m512i(Numbers{a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p});
}

inline __m512i or_si512(__m512i a, __m512i b) { return a | b; }
inline __m512i slli_epi32(__m512i x, unsigned count) { return __m512i(Bits(x) << count); }
inline __m512i mullo_epi32(__m512i a, __m512i b) { return __m512i(Bits(a) * Bits(b)); }
inline __m512i cvtepu16_epi32(__m256i x) {
  return __m512i(__builtin_convertvector(Halves(x), Bits));
}

inline __mmask16 movepi32_mask(__m512i x) {
  uint32_t bits[LANES];
  std::memcpy(bits, &x, sizeof bits);
  unsigned mask = 0;
  for (int i = 0; i < LANES; i++) mask |= bits[i] >> 31 << i;
  return __mmask16(mask);
}

inline __m512 maskz_mov_ps(__mmask16 mask, __m512 x) {
  Bits bits = Bits(x);
  for (int i = 0; i < LANES; i++) bits[i] = mask >> i & 1 ? bits[i] : 0;
  return __m512(bits);
}

inline __m512i maskz_mov_epi16(__mmask32 mask, __m512i x) {
  uint16_t halves[2 * LANES];
  std::memcpy(halves, &x, sizeof halves);
  for (int i = 0; i < 2 * LANES; i++) halves[i] = mask >> i & 1 ? halves[i] : 0;
  return loadu_si512(halves);
}

inline __m256i maskz_loadu_epi16(__mmask16 mask, const void* at) {
  uint16_t halves[LANES] = {};
  for (int i = 0; i < LANES; i++)
    if (mask >> i & 1) std::memcpy(halves + i, static_cast<const char*>(at) + 2 * i, 2);
  return loadu_si256(halves);
}

inline void mask_storeu_epi16(void* at, __mmask16 mask, __m256i x) {
  uint16_t halves[LANES];
  std::memcpy(halves, &x, sizeof halves);
  for (int i = 0; i < LANES; i++)
    if (mask >> i & 1) std::memcpy(static_cast<char*>(at) + 2 * i, halves + i, 2);
}

inline __m512 i32gather_ps(__m512i index, const void* at, int scale) {
  int32_t places[LANES];
  std::memcpy(places, &index, sizeof places);
  Floats found;
  for (int i = 0; i < LANES; i++) {
    float one;
    std::memcpy(&one, static_cast<const char*>(at) + int64_t(places[i]) * scale, sizeof one);
    found[i] = one;
  }
  return found;
}

// ---- AVX-512 and AMX with bfloat16

// The kernel unrolls what it does with these: kept out of line, it compiles in half the time.
#define CALLED __attribute__((noinline)) inline

inline Floats flushed(Floats x) {
  const Bits bits = Bits(x);
  return Floats((bits & EXPONENT) == 0 ? bits & SIGN : bits);
}

// The two numbers of each pair, as float32.
inline Floats even(Bits pairs) { return flushed(Floats(pairs << 16)); }
inline Floats odd(Bits pairs) { return flushed(Floats(pairs & UPPER)); }

CALLED __m256i cvtneps_pbh(__m512 x) {
  const Bits bits = Bits(flushed(x));
  const Bits rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  const Bits quiet = bits >> 16 | 0x40;  // a NaN stays one
  const Bits found = (bits & ~SIGN) > EXPONENT ? quiet : rounded;
  return __m256i(__builtin_convertvector(found, Halves));
}

CALLED __m512 dpbf16_ps(__m512 sum, __m512bh a, __m512bh b) {
  const Bits left = Bits(a), right = Bits(b);
  const Floats first = flushed(flushed(sum) + odd(left) * odd(right));
  return flushed(first + even(left) * even(right));
}

struct Tiles {
  bool ready = false;
  Bits rows[8][16];
};

inline thread_local Tiles tiles;

inline Bits* tile(int number) {
  if (!tiles.ready) stop("a tile is used before _tile_loadconfig or after _tile_release");
  return tiles.rows[number];
}

inline void tile_loadconfig(const void* at) {
  uint8_t given[64], full[64] = {1};  // a palette; 16 bytes on, bytes of a row; 48 on, rows
  std::memcpy(given, at, sizeof given);
  for (int i = 0; i < 8; i++) full[16 + 2 * i] = 64, full[48 + i] = 16;
  if (std::memcmp(given, full, sizeof given)) stop("only eight full tiles are known here");
  tiles.ready = true;
  std::memset(tiles.rows, 0, sizeof tiles.rows);
}

inline void tile_release() { tiles.ready = false; }

CALLED void tile_zero(int number) { std::memset(tile(number), 0, 1024); }

CALLED void tile_loadd(int number, const void* at, int64_t stride) {
  Bits* rows = tile(number);
  for (int i = 0; i < 16; i++) std::memcpy(rows + i, static_cast<const char*>(at) + i * stride, 64);
}

CALLED void tile_stored(int number, void* at, int64_t stride) {
  const Bits* rows = tile(number);
  for (int i = 0; i < 16; i++) std::memcpy(static_cast<char*>(at) + i * stride, rows + i, 64);
}

CALLED void tile_dpbf16ps(int sums, int left, int right) {
  Bits* const to = tile(sums);
  const Bits *const a = tile(left), *const b = tile(right);
  Floats evens[16], odds[16];
  for (int k = 0; k < 16; k++) evens[k] = even(b[k]), odds[k] = odd(b[k]);
  for (int m = 0; m < 16; m++) {
    const Floats with_even = even(a[m]), with_odd = odd(a[m]);
    Floats sum_even = {}, sum_odd = {};
    for (int k = 0; k < 16; k++) {
      sum_even += with_even[k] * evens[k];
      sum_odd += with_odd[k] * odds[k];
    }
    to[m] = Bits(flushed(flushed(Floats(to[m])) + flushed(sum_even + sum_odd)));
  }
}

}  // namespace emulated

// What immintrin.h makes a macro of must go first.
#undef _mm512_i32gather_ps
#undef _mm512_setr_epi32
#undef _mm512_slli_epi32
#undef _tile_dpbf16ps
#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero

#define _mm256_loadu_si256 emulated::loadu_si256
#define _mm256_mask_storeu_epi16 emulated::mask_storeu_epi16
#define _mm256_maskz_loadu_epi16 emulated::maskz_loadu_epi16
#define _mm256_max_ps emulated::max_ps
#define _mm256_movemask_ps emulated::movemask_ps
#define _mm256_set1_epi8 emulated::set1_epi8
#define _mm256_storeu_si256 emulated::storeu_si256
#define _mm512_cvtepu16_epi32 emulated::cvtepu16_epi32
#define _mm512_cvtneps_pbh emulated::cvtneps_pbh
#define _mm512_dpbf16_ps emulated::dpbf16_ps
#define _mm512_i32gather_ps emulated::i32gather_ps
#define _mm512_loadu_si512 emulated::loadu_si512
#define _mm512_maskz_mov_epi16 emulated::maskz_mov_epi16
#define _mm512_maskz_mov_ps emulated::maskz_mov_ps
#define _mm512_movepi32_mask emulated::movepi32_mask
#define _mm512_mullo_epi32 emulated::mullo_epi32
#define _mm512_or_si512 emulated::or_si512
#define _mm512_set1_epi32 emulated::set1_epi32
#define _mm512_set1_ps emulated::set1_ps
#define _mm512_setr_epi32 emulated::setr_epi32
#define _mm512_slli_epi32 emulated::slli_epi32
#define _mm512_storeu_si512 emulated::storeu_si512
#define _tile_dpbf16ps emulated::tile_dpbf16ps
#define _tile_loadconfig emulated::tile_loadconfig
#define _tile_loadd emulated::tile_loadd
#define _tile_release emulated::tile_release
#define _tile_stored emulated::tile_stored
#define _tile_zero emulated::tile_zero
