// 3 × 3 convolutions, stride 1, zero padding 1, of float32 in NHWC, and the way back to what they
// read, with bias, ReLU, pool and one bit for each output ("alive") in the same pass: by Winograd's
// F(4 × 4, 3 × 3) at the points 0, ±5/8, ±3/2, ∞; on AMX by plain sums; the first layer too.
// convolution.py says what each argument means.
//
// One file, compiled once, in which the part below `#else` is included once for each instruction
// path; `dream_supports` asks the CPU. No dependency: threads come from the OpenMP runtime that
// the caller has loaded (its GOMP_parallel is handed in), or from std::thread.
//
// Source: Lavin and Gray 2015 (arXiv:1509.09308); the points are our own measurement (docs/log.md).

#ifndef PATH

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define X86 1
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#define X86 0
#endif

namespace {

enum Pool : int64_t { NO_POOL, MAX_POOL, AVERAGE_POOL };

using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);  // GOMP_parallel

}  // namespace

// One call, as library.py fills it in. Heights and widths are the convolution's own.
struct Call {
  const float* input;    // (height, width, inputs), or pooled, when it is pulled back
  const float* weight;   // (K, C, 3, 3): outputs × inputs, or inputs × outputs when pulled back
  const float* bias;     // (outputs), or null
  float* output;         // (height, width, outputs), or pooled, when it goes forward
  uint8_t* alive;        // (height, width, ⌈channels / 8⌉): written forward, read back; or null
  char* scratch;         // dream_scratch_bytes, at a multiple of 64
  Parallel parallel;     // or null
  int64_t height, width, inputs, outputs;
  int64_t back, rectify, pool, rounds_up, threads;
};

namespace {

constexpr int TILE = 4, POINTS = 36;

inline int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

inline int64_t pooled(const Call& call, int64_t length) {
  return call.rounds_up ? (length + 1) / 2 : length / 2;
}

// What the threads of one parallel step share. Each takes the next piece of work until none is
// left, so which thread does what changes from run to run, and no result depends on it.
struct Job {
  const Call* call = nullptr;
  void (*work)(Job&, int64_t slot);
  float* shared;           // what all threads read
  float* own;              // own_floats for each thread
  int64_t own_floats;
  int64_t first, count;    // the tiles in hand
  std::atomic<int64_t> next{0}, slots{0};
};

void enter(void* job) {
  Job& it = *static_cast<Job*>(job);
  it.work(it, it.slots++);
}

void run(Job& job) {
  job.next = 0, job.slots = 0;
  const int64_t threads = job.call->threads;
  if (threads == 1) return enter(&job);
  if (job.call->parallel) return job.call->parallel(enter, &job, unsigned(threads), 0);
  std::vector<std::thread> helpers;
  for (int64_t i = 1; i < threads; i++) helpers.emplace_back(enter, &job);
  enter(&job);
  for (auto& helper : helpers) helper.join();
}

}  // namespace

#define PATH portable
#define LANES 8
#define VECTORS 1
#if defined(__aarch64__)
#define ROWS 12
#else
#define ROWS 4
#endif
#define LEVEL 0
#include "winograd.cpp"

#if X86
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define PATH avx2
#define LANES 8
#define VECTORS 2
#define ROWS 6
#define LEVEL 2
#include "winograd.cpp"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#define PATH avx512
#define LANES 16
#define VECTORS 2
#define ROWS 12
#define LEVEL 3
#include "winograd.cpp"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,avx512bf16")
#define PATH avx512_bf16
#define LANES 16
#define VECTORS 2
#define ROWS 12
#define LEVEL 4
#include "winograd.cpp"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,avx512bf16,amx-tile,amx-bf16")
#define PATH amx
#define LANES 16
#define VECTORS 2
#define ROWS 16
#define LEVEL 5
#include "winograd.cpp"
#pragma GCC pop_options
#endif

namespace {

struct Face {
  int64_t (*scratch_bytes)(const Call&);
  void (*convolve)(const Call&);
  int64_t (*picture_scratch_bytes)(const Call&);
  void (*convolve_picture)(const Call&);
  void (*pull_back_to_picture)(const Call&);
};

#define FACE(path, first)                                                               \
  {path::scratch_bytes, path::convolve, first::picture_scratch_bytes,                   \
   first::convolve_picture, first::pull_back_to_picture}

// In the order of library.py's PATHS.
const Face FACES[] = {
    FACE(portable, portable),
#if X86
    FACE(avx2, avx2), FACE(avx512, avx512), FACE(avx512_bf16, avx512), FACE(amx, avx512),
#endif
};

#if X86
bool has_amx() {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  const unsigned tile = 1u << 24, bf16 = 1u << 22;
  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  const long request_permission = 0x1023, tile_data = 18;
  return (d & tile) && (d & bf16) && !syscall(SYS_arch_prctl, request_permission, tile_data);
}
#endif

}  // namespace

extern "C" {

// Whether this CPU, under this system, has what a path needs. For AMX it asks the system for leave.
int dream_supports(int path) {
  if (path == 0) return 1;
#if X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  const bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
  if (path == 1) return avx2;
  if (path == 2) return avx512;
  if (path == 3) return bf16;
  if (path == 4) return bf16 && has_amx();
#endif
  return 0;
}

int64_t dream_scratch_bytes(int path, const Call* call) { return FACES[path].scratch_bytes(*call); }

void dream_convolve(int path, const Call* call) { FACES[path].convolve(*call); }

int64_t dream_picture_scratch_bytes(int path, const Call* call) {
  return FACES[path].picture_scratch_bytes(*call);
}

void dream_convolve_picture(int path, const Call* call) { FACES[path].convolve_picture(*call); }

void dream_pull_back_to_picture(int path, const Call* call) {
  FACES[path].pull_back_to_picture(*call);
}
}

#else  // from here on: once for each path

namespace {
namespace PATH {

// 16 bit: a vector's pair of neighbouring channels shares the four bytes of one float.
constexpr bool HALF = LEVEL == 4;
constexpr int COLUMNS = LANES * VECTORS;  // output channels in one panel of the multiplication

typedef float V __attribute__((vector_size(LANES * 4)));
typedef int32_t I __attribute__((vector_size(LANES * 4)));
typedef float Loose __attribute__((vector_size(LANES * 4), aligned(4)));

#define INLINE static inline __attribute__((always_inline))

INLINE V load(const float* at) { return *reinterpret_cast<const Loose*>(at); }
INLINE void store(float* at, V x) { *reinterpret_cast<Loose*>(at) = x; }

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

// ---- one bit for each lane

#if LEVEL >= 3
INLINE unsigned where(I mask) { return _mm512_movepi32_mask(__m512i(mask)); }
INLINE V keep(V x, unsigned bits) { return V(_mm512_maskz_mov_ps(__mmask16(bits), __m512(x))); }
#else
INLINE V keep(V x, unsigned bits) {
  const I lanes = {1, 2, 4, 8, 16, 32, 64, 128};
  return V(I(x) & ((lanes & int32_t(bits)) != 0));
}
#if LEVEL == 2
INLINE unsigned where(I mask) { return unsigned(_mm256_movemask_ps(__m256(mask))); }
#else
INLINE unsigned where(I mask) {
  unsigned bits = 0;
  for (int i = 0; i < LANES; i++) bits |= unsigned(mask[i] & 1) << i;
  return bits;
}
#endif
#endif

INLINE unsigned load_bits(const uint8_t* at) {
  if (LANES == 8) return *at;
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  return bits;
}

INLINE void store_bits(uint8_t* at, unsigned bits, int64_t lanes) {
  at[0] = uint8_t(bits);
  if (lanes > 8) at[1] = uint8_t(bits >> 8);
}

// ---- 16 bit

#if LEVEL >= 4
INLINE __m256i halved(V x) { return __m256i(_mm512_cvtneps_pbh(__m512(x))); }

// Each float of what is multiplied holds a pair: even channels in its lower half, odd ones above.
INLINE void put_pair(float* at, V even, V odd) {
  const __m512i lower = _mm512_cvtepu16_epi32(halved(even));
  const __m512i upper = _mm512_slli_epi32(_mm512_cvtepu16_epi32(halved(odd)), 16);
  store(at, V(_mm512_or_si512(lower, upper)));
}
#endif

// Put a vector of neighbouring channels, `group` vectors on from `at`.
INLINE void put(float* at, int64_t group, V x) {
#if LEVEL >= 4
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at + group * 8), halved(x));
#else
  store(at + group * LANES, x);
#endif
}

#if LEVEL < 5
// ---- Winograd's three transforms, of one line of a tile each

constexpr float A = 0.625f, B = 1.5f, A2 = A * A, B2 = B * B;

INLINE void input_line(const V d[6], V o[6]) {
  o[0] = A2 * B2 * d[0] - (A2 + B2) * d[2] + d[4];
  const V e1 = d[4] - B2 * d[2], f1 = A * d[3] - A * B2 * d[1];
  o[1] = e1 + f1, o[2] = e1 - f1;
  const V e2 = d[4] - A2 * d[2], f2 = B * d[3] - B * A2 * d[1];
  o[3] = e2 + f2, o[4] = e2 - f2;
  o[5] = A2 * B2 * d[1] - (A2 + B2) * d[3] + d[5];
}

INLINE void filter_line(const V g[3], V o[6]) {
  constexpr float at_a = 1 / (2 * A2 * (A2 - B2)), at_b = 1 / (2 * B2 * (B2 - A2));
  o[0] = g[0] * (1 / (A2 * B2));
  const V e1 = at_a * g[0] + at_a * A2 * g[2], f1 = at_a * A * g[1];
  o[1] = e1 + f1, o[2] = e1 - f1;
  const V e2 = at_b * g[0] + at_b * B2 * g[2], f2 = at_b * B * g[1];
  o[3] = e2 + f2, o[4] = e2 - f2;
  o[5] = g[2];
}

INLINE void output_line(const V m[6], V o[4]) {
  const V s1 = m[1] + m[2], t1 = m[1] - m[2], s2 = m[3] + m[4], t2 = m[3] - m[4];
  o[0] = m[0] + s1 + s2;
  o[1] = A * t1 + B * t2;
  o[2] = A2 * s1 + B2 * s2;
  o[3] = A2 * A * t1 + B2 * B * t2 + m[5];
}

// ---- what is multiplied: rows of tiles by panels of output channels

// Channels that are summed over, filled up with zeros; floats that they take in a row; and from one
// row to the next, which never is a multiple of 4 KB: rows would meet in one line of the cache.
INLINE int64_t depth_of(int64_t channels) { return round_up(channels, HALF ? 32 : LANES); }
INLINE int64_t floats_of(int64_t depth) { return HALF ? depth / 2 : depth; }
INLINE int64_t stride_of(int64_t depth) { return floats_of(depth) + 16; }

INLINE void put_filter(float* at, int64_t channel, V x) {
#if LEVEL == 4
  // Even channels in the lower half of each float, odd ones in the upper.
  at += channel / 2 * COLUMNS;
  __m512i half = _mm512_cvtepu16_epi32(halved(x));
  if (channel % 2) half = _mm512_or_si512(_mm512_slli_epi32(half, 16), __m512i(load(at)));
  store(at, V(half));
#else
  store(at + channel * COLUMNS, x);
#endif
}

// sums[rows][COLUMNS] = tiles[rows][floats] · panel[floats][COLUMNS], ROWS at a time in registers.
static void multiply(const float* tiles, int64_t stride, const float* panel, float* sums,
                     int64_t sums_stride, int64_t rows, int64_t floats) {
  for (int64_t row = 0; row < rows; row += ROWS) {
    const float* at = tiles + row * stride;
    const float* from = panel;
    V sum[ROWS][VECTORS] = {};
    for (int64_t k = 0; k < floats; k++, from += COLUMNS) {
      V right[VECTORS];
#pragma GCC unroll 2
      for (int v = 0; v < VECTORS; v++) right[v] = load(from + v * LANES);
#pragma GCC unroll 12
      for (int i = 0; i < ROWS; i++) {
        const float left = at[i * stride + k];
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
#if LEVEL == 4
          sum[i][v] = V(_mm512_dpbf16_ps(__m512(sum[i][v]), __m512bh(_mm512_set1_ps(left)),
                                         __m512bh(right[v])));
#else
          sum[i][v] += left * right[v];
#endif
        }
      }
    }
    float* to = sums + row * sums_stride;
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
      for (int v = 0; v < VECTORS; v++) store(to + i * sums_stride + v * LANES, sum[i][v]);
  }
}

#endif

// ---- input → tiles

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
  const float* at = call.input + place * call.inputs + channel;
  V value = CAREFUL ? load_some(at, lanes) : load(at);
  if (READING == FROM_AVERAGE) {
    const bool alone_y = CAREFUL && (y | 1) >= call.height;  // the window hangs over the edge
    const bool alone_x = CAREFUL && (x | 1) >= call.width;
    value *= 0.25f * (1 + alone_y) * (1 + alone_x);
  }
  if (READING == PLAIN || (READING == FROM_AVERAGE && !call.alive)) return value;
  const uint8_t* bits = call.alive + (y * call.width + x) * ((call.inputs + 7) / 8) + channel / 8;
  return keep(value, CAREFUL && lanes <= 8 ? *bits : load_bits(bits));
}

#if LEVEL < 5
template <int READING, bool CAREFUL>
INLINE void transform_tile(const Call& call, int64_t y, int64_t x, int64_t group, float* to,
                           int64_t plane) {
  const int64_t channel = group * LANES, lanes = lanes_at(call.inputs, channel);
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
    for (int j = 0; j < 6; j++) put(to + (i * 6 + j) * plane, group, line[j]);
  }
}

// Transform `count` tiles from `first` on into tiles[POINTS][plane], one row each.
template <int READING>
static void transform_tiles(const Call& call, int64_t first, int64_t count, float* tiles,
                            int64_t plane) {
  const int64_t across = (call.width + TILE - 1) / TILE, depth = depth_of(call.inputs);
  for (int64_t t = 0; t < count; t++) {
    const int64_t y = (first + t) / across * TILE - 1, x = (first + t) % across * TILE - 1;
    const bool edge = y < 0 || x < 0 || y + 6 > call.height || x + 6 > call.width ||
                      (READING >= FROM_MAX && (y + 7 > call.height || x + 7 > call.width));
    for (int64_t group = 0; group < depth / LANES; group++) {
      float* to = tiles + t * stride_of(depth);
      if (edge || (group + 1) * LANES > call.inputs)
        transform_tile<READING, true>(call, y, x, group, to, plane);
      else
        transform_tile<READING, false>(call, y, x, group, to, plane);
    }
  }
}

static void transform_input(const Call& call, int64_t first, int64_t count, float* tiles,
                            int64_t plane) {
  if (call.back && call.pool == MAX_POOL)
    transform_tiles<FROM_MAX>(call, first, count, tiles, plane);
  else if (call.back && call.pool == AVERAGE_POOL)
    transform_tiles<FROM_AVERAGE>(call, first, count, tiles, plane);
  else if (call.back && call.alive)
    transform_tiles<MASKED>(call, first, count, tiles, plane);
  else
    transform_tiles<PLAIN>(call, first, count, tiles, plane);
}

#endif

// ---- filters → panels

constexpr int GATHERED = 16;  // channels at a time

#if LEVEL >= 3
// Turn LANES rows into columns: each stage, pairs of rows exchange a half of every 2 · STEP lanes.
template <int STEP>
INLINE void exchange(V rows[LANES]) {
  const I lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
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
  exchange<1>(rows), exchange<2>(rows), exchange<4>(rows), exchange<8>(rows);
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
#if LEVEL >= 3
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
    for (int64_t n = 0; n < columns; n++)
#pragma GCC unroll 9
      for (int64_t i = 0; i < 9; i++) to[i * COLUMNS + n] = from[n * 9 + 8 - i];
  }
}

#if LEVEL < 5
// Where the filters of one point lie, from one point to the next: as for rows, no multiple of 4 KB.
INLINE int64_t panel_plane(int64_t depth) { return floats_of(depth) * COLUMNS + 16; }

// Transform a panel's filters, from output channel `column` on, to panel[POINTS][floats][COLUMNS].
static void transform_filters(const Call& call, int64_t column, float* panel) {
  const int64_t depth = depth_of(call.inputs), plane = panel_plane(depth);
  alignas(64) float taps[GATHERED * 9 * COLUMNS];
  for (int64_t channel = 0; channel < depth; channel++) {
    if (channel % GATHERED == 0) gather(call, channel, column, taps);
    for (int v = 0; v < VECTORS; v++) {
      const float* tap = taps + channel % GATHERED * 9 * COLUMNS + v * LANES;
      V lines[3][6], points[3], line[6];
#pragma GCC unroll 3
      for (int j = 0; j < 3; j++) {
#pragma GCC unroll 3
        for (int i = 0; i < 3; i++) points[i] = load(tap + (i * 3 + j) * COLUMNS);
        filter_line(points, lines[j]);
      }
#pragma GCC unroll 6
      for (int i = 0; i < 6; i++) {
#pragma GCC unroll 3
        for (int j = 0; j < 3; j++) points[j] = lines[j][i];
        filter_line(points, line);
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++)
          put_filter(panel + (i * 6 + j) * plane + v * LANES, channel, line[j]);
      }
    }
  }
}

#endif

// ---- sums → output

// Zero stays for what is not above it; a NaN passes, so that the loss shows it.
INLINE V rectified(V x) { return V{} > x ? V{} : x; }

INLINE void write(const Call& call, int64_t y, int64_t x, int64_t channel, V value) {
  const int64_t lanes = lanes_at(call.outputs, channel);
  const int64_t place = y * call.width + x;
  if (!call.back && call.alive)
    store_bits(call.alive + place * ((call.outputs + 7) / 8) + channel / 8, where(value > 0),
               lanes);
  if (call.rectify) value = rectified(value);
  float* to = call.output + place * call.outputs + channel;
  if (lanes == LANES)
    store(to, value);
  else
    std::memcpy(to, &value, lanes * sizeof(float));
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
      const V least = call.pool == MAX_POOL ? result : V{};
      const unsigned bits = open & where(call.pool == MAX_POOL ? values[i] == least : values[i] > least);
      if (call.pool == MAX_POOL) open &= ~bits;  // of equals, the first
      store_bits(to + ((i / 2) * call.width + i % 2) * bytes, bits, lanes);
    }
  }
  if (y / 2 >= pooled(call, call.height) || x / 2 >= pooled(call, call.width)) return;
  if (call.pool == MAX_POOL) result = rectified(result);
  float* at = call.output + ((y / 2) * pooled(call, call.width) + x / 2) * call.outputs + channel;
  if (lanes == LANES)
    store(at, result);
  else
    std::memcpy(at, &result, lanes * sizeof(float));
}

#if LEVEL < 5
// Finish `columns` output channels of `count` tiles from sums[POINTS][plane], rows of `columns`.
static void transform_output(const Call& call, int64_t first, int64_t count, int64_t column,
                             int64_t columns, const float* sums, int64_t plane) {
  const int64_t across = (call.width + TILE - 1) / TILE;
  for (int64_t t = 0; t < count; t++) {
    const int64_t y = (first + t) / across * TILE, x = (first + t) % across * TILE;
    const int64_t high = std::min<int64_t>(TILE, call.height - y);
    const int64_t wide = std::min<int64_t>(TILE, call.width - x);
    for (int64_t c = 0; c < columns && column + c < call.outputs; c += LANES) {
      const int64_t channel = column + c;
      const float* at = sums + t * columns + c;
      V lines[4][6], points[6], line[4], values[4][4];
#pragma GCC unroll 6
      for (int j = 0; j < 6; j++) {
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++) points[i] = load(at + (i * 6 + j) * plane);
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

// ---- the whole

// How the work is cut. Small layers: all filters are transformed first, then each thread takes
// chunks of tiles. Large ones: all tiles in hand are transformed first, then each thread takes
// panels of output channels, whose filters it transforms in its own cache.
struct Cut {
  int64_t depth, panels, tiles, panel_floats;
  bool by_tiles;
  int64_t chunk, group;           // tiles at a time, panels at a time
  int64_t plane, sums_plane;      // floats of one of the POINTS
  int64_t shared_floats, own_floats;
};

// In floats, measured layer by layer (docs/log.md): filters that a core's own cache holds beside a
// few tiles, and those that all threads can share; in tiles and columns, what fits beside them.
constexpr int64_t OWN_FILTERS = 400'000, SHARED_FILTERS = 3'000'000;
constexpr int64_t FEW_TILES = 24, MORE_TILES = 96, MOST_TILES = 384, GROUP_COLUMNS = 256;

static Cut cut_of(const Call& call) {
  Cut cut;
  cut.depth = depth_of(call.inputs);
  cut.panels = (call.outputs + COLUMNS - 1) / COLUMNS;
  cut.tiles = ((call.height + TILE - 1) / TILE) * ((call.width + TILE - 1) / TILE);
  cut.panel_floats = POINTS * panel_plane(cut.depth);
  const int64_t all = cut.panels * cut.panel_floats;
  cut.by_tiles = all <= SHARED_FILTERS;
  const int64_t most = all <= OWN_FILTERS ? FEW_TILES : cut.by_tiles ? MORE_TILES : MOST_TILES;
  cut.chunk = std::min(most, round_up(cut.tiles, ROWS));
  cut.group = cut.by_tiles ? std::min<int64_t>(cut.panels, GROUP_COLUMNS / COLUMNS) : 1;
  cut.plane = cut.chunk * stride_of(cut.depth) + 16;
  cut.sums_plane = cut.chunk * cut.group * COLUMNS + 16;
  const int64_t tiles = POINTS * cut.plane, sums = POINTS * cut.sums_plane;
  const int64_t filters = cut.by_tiles ? all : cut.panel_floats;
  cut.shared_floats = round_up(cut.by_tiles ? filters : tiles, 1024) + 16;
  cut.own_floats = round_up((cut.by_tiles ? tiles : filters) + sums, 1024) + 16;
  return cut;
}

static int64_t scratch_bytes(const Call& call) {
  const Cut cut = cut_of(call);
  return (cut.shared_floats + call.threads * cut.own_floats) * int64_t(sizeof(float));
}

static void multiply_and_finish(const Call& call, const Cut& cut, int64_t first, int64_t count,
                                const float* tiles, int64_t panel, const float* filters,
                                float* sums) {
  const int64_t panels = std::min(cut.group, cut.panels - panel), columns = panels * COLUMNS;
  const int64_t floats = floats_of(cut.depth);
  for (int64_t point = 0; point < POINTS; point++)
    for (int64_t p = 0; p < panels; p++)
      multiply(tiles + point * cut.plane, stride_of(cut.depth),
               filters + p * cut.panel_floats + point * panel_plane(cut.depth),
               sums + point * cut.sums_plane + p * COLUMNS, columns, round_up(count, ROWS), floats);
  transform_output(call, first, count, panel * COLUMNS, columns, sums, cut.sums_plane);
}

static void take_filters(Job& job, int64_t) {
  const Cut cut = cut_of(*job.call);
  for (int64_t panel; (panel = job.next++) < cut.panels;)
    transform_filters(*job.call, panel * COLUMNS, job.shared + panel * cut.panel_floats);
}

static void take_chunks(Job& job, int64_t slot) {
  const Call& call = *job.call;
  const Cut cut = cut_of(call);
  float* tiles = job.own + slot * job.own_floats;
  float* sums = tiles + POINTS * cut.plane;
  for (int64_t first; (first = job.next++ * cut.chunk) < cut.tiles;) {
    const int64_t count = std::min(cut.chunk, cut.tiles - first);
    transform_input(call, first, count, tiles, cut.plane);
    for (int64_t panel = 0; panel < cut.panels; panel += cut.group)
      multiply_and_finish(call, cut, first, count, tiles, panel,
                          job.shared + panel * cut.panel_floats, sums);
  }
}

static void take_tiles(Job& job, int64_t) {
  const Cut cut = cut_of(*job.call);
  for (int64_t done; (done = job.next++ * ROWS) < job.count;)
    transform_input(*job.call, job.first + done, std::min<int64_t>(ROWS, job.count - done),
                    job.shared + done * stride_of(cut.depth), cut.plane);
}

static void take_panels(Job& job, int64_t slot) {
  const Call& call = *job.call;
  const Cut cut = cut_of(call);
  float* filters = job.own + slot * job.own_floats;
  float* sums = filters + cut.panel_floats;
  for (int64_t panel; (panel = job.next++) < cut.panels;) {
    transform_filters(call, panel * COLUMNS, filters);
    multiply_and_finish(call, cut, job.first, job.count, job.shared, panel, filters, sums);
  }
}

static void convolve(const Call& call) {
  const Cut cut = cut_of(call);
  Job job;
  job.call = &call;
  job.shared = reinterpret_cast<float*>(call.scratch);
  job.own = job.shared + cut.shared_floats;
  job.own_floats = cut.own_floats;
  if (cut.by_tiles) {
    job.work = take_filters, run(job);
    job.work = take_chunks, run(job);
    return;
  }
  for (job.first = 0; job.first < cut.tiles; job.first += cut.chunk) {
    job.count = std::min(cut.chunk, cut.tiles - job.first);
    job.work = take_tiles, run(job);
    job.work = take_panels, run(job);
  }
}

#endif

#if LEVEL == 5
// ---- AMX: 16 bit, no Winograd. Sixteen times the multiplications of a vector unit leave nothing
// to save by transforms, and a plain sum of 16-bit products is four times as exact.

constexpr int64_t CACHE = 512 << 10;  // bytes of one band, a part of the second cache
constexpr int BLOCK = 32;  // channels of one step of the sum; positions and columns of one block

// The work is cut in bands of rows. A band's input is turned to 16 bit with a border of one
// position; its rows then lie one behind another, so that any 32 positions in line, and their
// neighbours above and below, are read by one stride, across the ends of rows. What comes of the border is left.
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
#endif

#if LEVEL < 4
// ---- the first layer, float32 on every path: few channels in, which lie in planes

constexpr int64_t BAND = 16;  // rows that a thread takes at a time

// Both ways a row of W positions is multiplied by a small matrix: (W, 9 · C) · (9 · C, K) forward,
// (W, K) · (K, 9 · C) back.
struct Strip {
  int64_t depth, columns, rows;  // of that product, the last two rounded up
  int64_t stride, left_floats, panel_floats, ring_floats, own_floats;
};

static Strip strip_of(const Call& call) {
  Strip strip;
  strip.depth = call.back ? round_up(call.inputs, LANES) : 9 * call.inputs;
  strip.columns = round_up(call.back ? 9 * call.outputs : call.outputs, COLUMNS);
  strip.rows = round_up(call.width, ROWS);
  strip.stride = round_up(strip.depth, 16) + 16;
  strip.left_floats = strip.rows * strip.stride;
  strip.panel_floats = strip.depth * COLUMNS;
  strip.ring_floats = (strip.rows + 2) * strip.columns;
  strip.own_floats = round_up(strip.left_floats + 3 * strip.ring_floats, 1024) + 16;
  return strip;
}

static int64_t picture_scratch_bytes(const Call& call) {
  const Strip strip = strip_of(call);
  const int64_t shared = strip.depth * strip.columns;
  return (round_up(shared, 16) + call.threads * strip.own_floats) * int64_t(sizeof(float));
}

static void multiply_row(const Strip& strip, const Job& job, const float* left, float* sums) {
  for (int64_t column = 0; column < strip.columns; column += COLUMNS)
    multiply(left, strip.stride, job.shared + column / COLUMNS * strip.panel_floats, sums + column,
             strip.columns, strip.rows, strip.depth);
}

static void take_bands(Job& job, int64_t slot) {
  const Call& call = *job.call;
  const Strip strip = strip_of(call);
  float* left = job.own + slot * job.own_floats;
  float* sums = left + strip.left_floats;
  float* rows = sums + strip.ring_floats;  // the 3 · C rows around y, a zero at either end
  for (int64_t first; (first = job.next++ * BAND) < call.height;)
    for (int64_t y = first; y < std::min(first + BAND, call.height); y++) {
      for (int64_t i = 0; i < 3 * call.inputs; i++) {
        const int64_t at_y = y + i % 3 - 1;
        float* row = rows + i * (call.width + 2);
        std::memset(row, 0, (call.width + 2) * sizeof(float));
        if (at_y >= 0 && at_y < call.height)
          std::memcpy(row + 1, call.input + (i / 3 * call.height + at_y) * call.width,
                      call.width * sizeof(float));
      }
      for (int64_t x = 0; x < call.width; x++)
        for (int64_t i = 0; i < 3 * call.inputs; i++)
          std::memcpy(left + x * strip.stride + 3 * i, rows + i * (call.width + 2) + x,
                      3 * sizeof(float));
      multiply_row(strip, job, left, sums);
      for (int64_t x = 0; x < call.width; x++)
        for (int64_t channel = 0; channel < call.outputs; channel += LANES) {
          V value = load(sums + x * strip.columns + channel);
          if (call.bias) value += load_some(call.bias + channel, lanes_at(call.outputs, channel));
          write(call, y, x, channel, value);
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
  for (int64_t x = 0; x < call.width; x++)
    for (int64_t channel = 0; channel < strip.depth; channel += LANES) {
      const int64_t lanes = lanes_at(call.inputs, channel);
      const V value = lanes < LANES ? read_row<true>(call, y, x, channel, lanes)
                                    : read_row<false>(call, y, x, channel, lanes);
      store(left + x * strip.stride + channel, value);
    }
  multiply_row(strip, job, left, row + strip.columns);
  std::memset(row, 0, strip.columns * sizeof(float));
  std::memset(row + (call.width + 1) * strip.columns, 0, strip.columns * sizeof(float));
}

static void take_bands_back(Job& job, int64_t slot) {
  typedef float Few __attribute__((vector_size(16)));
  const Call& call = *job.call;
  const Strip strip = strip_of(call);
  float* left = job.own + slot * job.own_floats;
  float* ring = left + strip.left_floats;
  for (int64_t first; (first = job.next++ * BAND) < call.height;) {
    spread_row(call, strip, job, first - 1, left, ring);
    spread_row(call, strip, job, first, left, ring);
    for (int64_t y = first; y < std::min(first + BAND, call.height); y++) {
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

// Lay the matrix out in panels; `at` finds a weight by the product's depth and column.
template <class At>
static void lay_out(const Strip& strip, int64_t depth, int64_t columns, float* panels, At at) {
  for (int64_t k = 0; k < strip.depth; k++)
    for (int64_t column = 0; column < strip.columns; column++)
      panels[column / COLUMNS * strip.panel_floats + k * COLUMNS + column % COLUMNS] =
          k < depth && column < columns ? at(k, column) : 0.0f;
}

static void convolve_picture(const Call& call) {
  const Strip strip = strip_of(call);
  Job job;
  prepare(job, call, strip);
  lay_out(strip, strip.depth, call.outputs, job.shared,
          [&](int64_t k, int64_t column) { return call.weight[column * strip.depth + k]; });
  job.work = take_bands, run(job);
}

static void pull_back_to_picture(const Call& call) {
  const Strip strip = strip_of(call);
  Job job;
  prepare(job, call, strip);
  const int64_t channels = call.outputs;
  lay_out(strip, call.inputs, 9 * channels, job.shared, [&](int64_t k, int64_t column) {
    return call.weight[(k * channels + column % channels) * 9 + column / channels];
  });
  job.work = take_bands_back, run(job);
}
#endif

}  // namespace PATH
}  // namespace

#undef PATH
#undef LANES
#undef VECTORS
#undef ROWS
#undef LEVEL
#undef INLINE
#endif
