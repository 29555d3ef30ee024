// 3 × 3 convolutions, stride 1, zero padding 1, in NHWC, of float32 and where the CPU multiplies it
// of bfloat16, and the way back to what they read, with bias, ReLU, pool and one bit for each output
// ("alive") in the same pass: by Winograd's F(4 × 4, 3 × 3) at the points 0, ±5/8, ±3/2, ∞; on AMX
// by plain sums; the first layer too. convolution.py says what each argument means.
//
// Compiled as one unit, in which this file includes itself once for each instruction path, and with
// it the parts that do the work (*.h, each inside the path's namespace); `dream_supports` asks the
// CPU. No dependency: threads come from the OpenMP runtime that the caller has loaded (its
// GOMP_parallel is handed in), or from std::thread.
//
// Tests define DREAM_EMULATED, with functions for the instructions that are named here: the paths
// then need nothing of the CPU.
//
// Source: Lavin and Gray 2015 (arXiv:1509.09308); the points are our own measurement (docs/log.md).

#ifndef PATH

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

// The version of g++, where it builds for x86-64: 10 knows avx512bf16, 11 AMX. Other compilers have
// no `#pragma GCC target`, and build `portable` alone. Tests name an older one, or none.
#ifndef DREAM_GCC
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DREAM_GCC __GNUC__
#else
#define DREAM_GCC 0
#endif
#endif

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if DREAM_GCC
#include <immintrin.h>
#endif

namespace {

enum Pool : int64_t { NO_POOL, MAX_POOL, AVERAGE_POOL };

// Bytes of the cache that a core has for itself; 0 where the system doesn't tell.
[[maybe_unused]] int64_t own_cache() {
#ifdef _SC_LEVEL2_CACHE_SIZE
  static const int64_t bytes = std::max<int64_t>(0, sysconf(_SC_LEVEL2_CACHE_SIZE));
  return bytes;
#else
  return 0;
#endif
}

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
  int64_t top, bottom;   // the rows to do, from the one to before the other: multiples of TILE, or
                         // the height; all that is outside of them stays as it is
  int64_t back, rectify, pool, rounds_up, threads;
  int64_t half;          // from avx512_bf16 on: 1 where input is bfloat16, 2 where output is, or both
  int64_t adds;          // a pull adds to output
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

#include "deflate.h"

#define PATH portable
#define LANES 4
#define VECTORS 2
#if defined(__aarch64__)
#define ROWS 12
#else
#define ROWS 4
#endif
#define LEVEL 0
#include "winograd.cpp"

#if DREAM_GCC
#pragma GCC push_options
#ifndef DREAM_EMULATED
#pragma GCC target("avx2,fma")
#endif
#define PATH avx2
#define LANES 8
#define VECTORS 2
#define ROWS 6
#define LEVEL 2
#include "winograd.cpp"
#pragma GCC pop_options

#pragma GCC push_options
#ifndef DREAM_EMULATED
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif
#define PATH avx512
#define LANES 16
#define VECTORS 2
#define ROWS 12
#define LEVEL 3
#include "winograd.cpp"
#pragma GCC pop_options
#endif

#if DREAM_GCC >= 10
#pragma GCC push_options
#ifndef DREAM_EMULATED
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,avx512bf16")
#endif
#define PATH avx512_bf16
#define LANES 16
#define VECTORS 2
#define ROWS 12
#define LEVEL 4
#include "winograd.cpp"
#pragma GCC pop_options
#endif

#if DREAM_GCC >= 11
#pragma GCC push_options
#ifndef DREAM_EMULATED
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,avx512bf16,amx-tile,amx-bf16")
#endif
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
  int64_t (*gram_scratch_bytes)(const Call&);
  void (*correlate)(const Call&);
  int64_t (*pull_scratch_bytes)(const Call&);
  void (*pull)(const Call&);
};

// What AMX doesn't multiply is of `plain`.
#define FACE(path, plain, pull)                                                         \
  {path::scratch_bytes, path::convolve, plain::picture_scratch_bytes,                   \
   plain::convolve_picture, plain::pull_back_to_picture, path::gram_scratch_bytes,      \
   path::correlate, plain::pull_scratch_bytes, plain::pull}

// In the order of library.py's PATHS, as far as this compiler goes.
const Face FACES[] = {
    FACE(portable, portable, pull),
#if DREAM_GCC
    FACE(avx2, avx2, pull), FACE(avx512, avx512, pull),
#endif
#if DREAM_GCC >= 10
    FACE(avx512_bf16, avx512_bf16, pull),
#endif
#if DREAM_GCC >= 11
    // A CPU with AMX multiplies pairs no faster than float32.
    FACE(amx, avx512_bf16, pull_in_float32),
#endif
};

constexpr int BUILT = sizeof FACES / sizeof *FACES;

// Whether this CPU, under this system, has what a path needs. For AMX it asks the system for leave.
#if defined(DREAM_EMULATED)
bool has(int) { return true; }
#elif defined(__x86_64__)
// By hand: older compilers don't know the names, and not every clang brings what its own way calls.
bool has(int path) {
  if (path == 0) return true;
  unsigned a, b, c, d, saved, above;
  const unsigned osxsave = 1u << 27, fma = 1u << 12;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (~c & (osxsave | fma))) return false;
  asm("xgetbv" : "=a"(saved), "=d"(above) : "c"(0));
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  // What the system saves of the vectors: of 16 and 32 bytes; the masks and all of 64 bytes too.
  const unsigned avx2 = 1u << 5, vectors = 0x6;
  if ((~b & avx2) || (~saved & vectors)) return false;
  if (path == 1) return true;
  const unsigned f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, wide = 0xe0;
  if ((~b & f_dq_bw_vl) || (~saved & wide)) return false;
  if (path == 2) return true;
  const unsigned leaves = a, features = d, bf16 = 1u << 5;
  if (!leaves || !__get_cpuid_count(7, 1, &a, &b, &c, &d) || (~a & bf16)) return false;
  if (path == 3) return true;
#if defined(__linux__)
  const unsigned amx_tile = 1u << 24, amx_bf16 = 1u << 22;
  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  const long request_permission = 0x1023, tile_data = 18;
  return !(~features & (amx_tile | amx_bf16)) &&
         !syscall(SYS_arch_prctl, request_permission, tile_data);
#else
  (void)features;
  return false;
#endif
}
#else
bool has(int path) { return path == 0; }
#endif

}  // namespace

extern "C" {

// Of the bits that come out: library.py's VERSION.
int dream_version() { return 9; }

// How many bytes a Call has: who has another idea of it comes from another release.
int64_t dream_call_bytes() { return sizeof(Call); }

// Whether a path can be run here.
int dream_supports(int path) { return path < BUILT && has(path); }

// Whether it could be, by a library of another compiler.
int dream_misses(int path) { return path >= BUILT && has(path); }

int64_t dream_scratch_bytes(int path, const Call* call) { return FACES[path].scratch_bytes(*call); }

void dream_convolve(int path, const Call* call) { FACES[path].convolve(*call); }

int64_t dream_picture_scratch_bytes(int path, const Call* call) {
  return FACES[path].picture_scratch_bytes(*call);
}

void dream_convolve_picture(int path, const Call* call) { FACES[path].convolve_picture(*call); }

void dream_pull_back_to_picture(int path, const Call* call) {
  FACES[path].pull_back_to_picture(*call);
}

// F Fᵀ of input, (height, width, inputs), to output, (inputs, inputs), always float32.
int64_t dream_gram_scratch_bytes(int path, const Call* call) {
  return FACES[path].gram_scratch_bytes(*call);
}

void dream_gram(int path, const Call* call) { FACES[path].correlate(*call); }

// input, (height, width, inputs), times weight, (inputs, inputs), to output, which may be input.
int64_t dream_pull_scratch_bytes(int path, const Call* call) {
  return FACES[path].pull_scratch_bytes(*call);
}

void dream_pull(int path, const Call* call) { FACES[path].pull(*call); }
}

#else  // from here on: once for each path

namespace {
namespace PATH {

#include "vectors.h"
#include "positions.h"
#include "filters.h"
#if LEVEL == 5
#include "bands.h"
#else
#include "lines.h"
#if LEVEL < 3
#include "inner.h"
#endif
#include "tiles.h"
#include "cut.h"
#endif
#if LEVEL < 5
#include "picture.h"
#include "pull.h"
#endif
#include "gram.h"

}  // namespace PATH
}  // namespace

#undef PATH
#undef LANES
#undef VECTORS
#undef ROWS
#undef LEVEL
#undef INLINE
#endif
