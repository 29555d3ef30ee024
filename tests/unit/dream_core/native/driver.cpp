// Runs the kernel over small shapes on every path of this CPU, on one thread and on more, each buffer
// no byte larger than it must be, and compares with the plain sums. Built with sanitizers by
// test_sanitized.py; with emulated.h in front, every path there is.

#include "winograd.cpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>

static uint32_t state = 1;
static float uniform() {
  state = state * 1664525u + 1013904223u;
  return float(state >> 8) / float(1 << 23) - 1.0f;
}
static std::vector<float> uniforms(int64_t count) {
  std::vector<float> values(count);
  for (float& value : values) value = uniform();
  return values;
}

// What arrives at one output of the convolution, when it is pulled back.
static float arriving(const Call& call, int64_t y, int64_t x, int64_t k) {
  const bool pool = call.pool != NO_POOL;
  const int64_t high = pool ? pooled(call, call.height) : call.height;
  const int64_t wide = pool ? pooled(call, call.width) : call.width;
  if (y >> pool >= high || x >> pool >= wide) return 0;
  if (!(call.alive[(y * call.width + x) * ((call.inputs + 7) / 8) + k / 8] >> k % 8 & 1)) return 0;
  float share = 1;
  if (call.pool == AVERAGE_POOL)
    share = ((y | 1) < call.height ? 0.5f : 1) * ((x | 1) < call.width ? 0.5f : 1);
  return share * call.input[((y >> pool) * wide + (x >> pool)) * call.inputs + k];
}

static float tap(const Call& call, int64_t y, int64_t x, int64_t channel, bool planes) {
  if (y < 0 || x < 0 || y >= call.height || x >= call.width) return 0;
  if (call.back) return arriving(call, y, x, channel);
  if (planes) return call.input[(channel * call.height + y) * call.width + x];
  return call.input[(y * call.width + x) * call.inputs + channel];
}

static float plain(const Call& call, int64_t y, int64_t x, int64_t channel, bool planes) {
  double sum = call.bias ? call.bias[channel] : 0;
  for (int64_t c = 0; c < call.inputs; c++)
    for (int64_t e = 0; e < 9; e++) {
      const float weight = call.back ? call.weight[(c * call.outputs + channel) * 9 + 8 - e]
                                     : call.weight[(channel * call.inputs + c) * 9 + e];
      sum += double(weight) * tap(call, y + e / 3 - 1, x + e % 3 - 1, c, planes);
    }
  return float(call.rectify && sum < 0 ? 0 : sum);
}

static float plain_pooled(const Call& call, int64_t y, int64_t x, int64_t channel) {
  if (call.back || call.pool == NO_POOL) return plain(call, y, x, channel, false);
  float best = 0, sum = 0, count = 0;
  for (int64_t i = 2 * y; i < std::min(2 * y + 2, call.height); i++)
    for (int64_t j = 2 * x; j < std::min(2 * x + 2, call.width); j++) {
      const float value = plain(call, i, j, channel, false);
      best = std::max(best, value), sum += value, count++;
    }
  return call.pool == MAX_POOL ? best : sum / count;
}

// bfloat16 is the upper half of a float.
static std::vector<uint16_t> upper(const std::vector<float>& values) {
  std::vector<uint16_t> halves(values.size());
  for (size_t i = 0; i < values.size(); i++)
    std::memcpy(&halves[i], reinterpret_cast<const char*>(&values[i]) + 2, 2);
  return halves;
}
static void widen(const std::vector<uint16_t>& halves, float* values) {
  for (size_t i = 0; i < halves.size(); i++) {
    const uint32_t bits = uint32_t(halves[i]) << 16;
    std::memcpy(values + i, &bits, 4);
  }
}

static int wrong = 0;

static void compare(const Call& call, int path, double limit, int64_t high, int64_t wide,
                    bool planes) {
  double apart = 0, size = 1e-20;
  const int64_t step = call.outputs > 100 ? 17 : 1;  // plain sums are slow: of many, some channels
  for (int64_t y = 0; y < high; y++)
    for (int64_t x = 0; x < wide; x++)
      for (int64_t k = 0; k < call.outputs; k += step) {
        const double expected = planes ? plain(call, y, x, k, true) : plain_pooled(call, y, x, k);
        const bool in_planes = planes && call.back;
        const double found = call.output[in_planes ? (k * high + y) * wide + x
                                                   : (y * wide + x) * call.outputs + k];
        apart += (found - expected) * (found - expected), size += expected * expected;
      }
  const double error = std::sqrt(apart / size);
  if (error < limit) return;
  wrong++;
  std::printf("path %d, %ld × %ld, %ld → %ld, back %ld, pool %ld: error %g\n", path,
              long(call.height), long(call.width), long(call.inputs), long(call.outputs),
              long(call.back), long(call.pool), error);
}

using Sizing = int64_t (*)(int, const Call*);
using Function = void (*)(int, const Call*);

// Call it with one thread, two and five, which all must write the same; `rows` at a time and the
// last of them first, each in just the room it needs.
static void repeat(int path, Call call, int64_t rows, Sizing sizing, Function function,
                   int64_t output_bytes) {
  std::vector<char> before;
  for (const int64_t threads : {1, 2, 5}) {
    call.threads = threads;
    char* output = reinterpret_cast<char*>(call.output);
    std::memset(output, 0xff, output_bytes);  // what nobody writes is seen: it is no number
    for (int64_t top = (call.height - 1) / rows * rows; top >= 0; top -= rows) {
      call.top = top, call.bottom = std::min(top + rows, call.height);
      const int64_t bytes = sizing(path, &call);
      call.scratch = static_cast<char*>(std::aligned_alloc(64, round_up(bytes, 64)));
      function(path, &call);
      std::free(call.scratch);
    }
    const std::vector<char> found(output, output + output_bytes);
    if (call.threads > 1 && found != before) {
      wrong++;
      std::printf("path %d, %ld × %ld, %ld → %ld: other bits on %ld threads\n", path,
                  long(call.height), long(call.width), long(call.inputs), long(call.outputs),
                  long(call.threads));
    }
    before = found;
  }
}

// One layer there and back, at once and in stripes.
static void check(int path, int64_t height, int64_t width, int64_t channels, int64_t outputs,
                  int64_t pool, int64_t rounds_up, bool planes, bool half = false) {
  Call call = {};
  call.height = height, call.width = width, call.inputs = channels, call.outputs = outputs;
  call.rectify = 1, call.pool = pool, call.rounds_up = rounds_up;
  const int64_t high = pool ? pooled(call, height) : height;
  const int64_t wide = pool ? pooled(call, width) : width;
  if (!high || !wide) return;
  const auto weight = uniforms(outputs * channels * 9), bias = uniforms(outputs);
  const auto input = uniforms(height * width * channels);
  const auto gradient = uniforms(high * wide * outputs);
  std::vector<float> output(high * wide * outputs), pulled(height * width * channels);
  std::vector<uint8_t> alive(height * width * ((outputs + 7) / 8));
  call.weight = weight.data(), call.bias = bias.data(), call.alive = alive.data();
  for (const bool back : {false, true}) {
    if (back) {
      std::swap(call.inputs, call.outputs);
      call.back = 1, call.rectify = 0, call.bias = nullptr;
    }
    call.input = back ? gradient.data() : input.data();
    call.output = back ? pulled.data() : output.data();
    for (const int64_t rows : {height, int64_t(2 * TILE), int64_t(TILE)}) {
      if (rows > height || (planes && rows < height)) continue;
      Call given = call;
      auto read = upper(back ? gradient : input), written = upper(back ? pulled : output);
      // What lies in planes is float32 all the same.
      const bool reads = half && !(planes && !back), writes = half && !(planes && back);
      given.half = reads + 2 * writes;
      if (reads) given.input = reinterpret_cast<const float*>(read.data());
      if (writes) given.output = reinterpret_cast<float*>(written.data());
      const auto sizing = planes ? dream_picture_scratch_bytes : dream_scratch_bytes;
      const auto function = !planes ? dream_convolve
                            : back  ? dream_pull_back_to_picture
                                    : dream_convolve_picture;
      repeat(path, given, rows, sizing, function, written.size() * (writes ? 2 : 4));
      if (writes) widen(written, call.output);
      compare(call, path, half || (path >= 3 && !planes) ? 5e-2 : 1e-5, back ? height : high,
              back ? width : wide, planes);
    }
  }
}

// The Gram matrix of positions, in 16 bit where the path reads only those.
static void correlate(int path, int64_t positions, int64_t channels) {
  auto features = uniforms(positions * channels);
  const auto read = upper(features);
  if (path >= 3) widen(read, features.data());
  std::vector<float> found(channels * channels);
  Call call = {};
  call.height = 1, call.width = positions, call.inputs = call.outputs = channels;
  call.half = path >= 3, call.output = found.data();
  call.input = call.half ? reinterpret_cast<const float*>(read.data()) : features.data();
  repeat(path, call, 1, dream_gram_scratch_bytes, dream_gram, found.size() * 4);
  for (int64_t a = 0; a < channels; a++)
    for (int64_t b = 0; b < channels; b++) {
      double sum = 0, size = 1;
      for (int64_t i = 0; i < positions; i++) {
        const double product = double(features[i * channels + a]) * features[i * channels + b];
        sum += product, size += std::abs(product);
      }
      if (std::abs(found[a * channels + b] - sum) < 1e-5 * size) continue;
      wrong++;
      std::printf("path %d, Gram matrix of %ld, %ld channels: %g for %g\n", path, long(positions),
                  long(channels), found[a * channels + b], sum);
    }
}

// What a dose pulls, each thread's share of it; `half` as in Call. Written over what is read too.
static void pull(int path, int64_t positions, int64_t channels, int64_t half, bool adds) {
  const auto features = uniforms(positions * channels);
  auto weight = uniforms(channels * channels);
  auto read = upper(features);
  std::vector<float> known(features), found(features.size());
  if (half) {  // some paths multiply in 16 bit then: numbers that lose nothing by it
    widen(read, known.data());
    widen(upper(weight), weight.data());
  }
  std::vector<uint16_t> written(features.size());
  const int64_t output_bytes = features.size() * (half & 2 ? 2 : 4);
  Call call = {};
  call.height = 1, call.width = positions, call.inputs = call.outputs = channels;
  call.half = half, call.adds = adds, call.weight = weight.data();
  call.input = half & 1 ? reinterpret_cast<const float*>(read.data()) : known.data();
  call.output = half & 2 ? reinterpret_cast<float*>(written.data()) : found.data();
  if (adds)  // to zeros: what repeats all starts from 0xff
    for (call.threads = 1; call.threads < 6; call.threads += 4) {
      const int64_t bytes = dream_pull_scratch_bytes(path, &call);
      call.scratch = static_cast<char*>(std::aligned_alloc(64, round_up(bytes, 64)));
      std::memset(call.output, 0, output_bytes);
      dream_pull(path, &call);
      std::free(call.scratch);
    }
  else
    repeat(path, call, 1, dream_pull_scratch_bytes, dream_pull, output_bytes);
  if (half & 2) widen(written, found.data());
  double apart = 0, size = 1e-20;
  for (int64_t i = 0; i < positions; i++)
    for (int64_t k = 0; k < channels; k++) {
      double sum = 0;
      for (int64_t c = 0; c < channels; c++)
        sum += double(known[i * channels + c]) * weight[c * channels + k];
      const double off = found[i * channels + k] - sum;
      apart += off * off, size += sum * sum;
    }
  if (std::sqrt(apart / size) < (half & 2 ? 5e-3 : 1e-5)) return;
  wrong++;
  std::printf("path %d, pull at %ld, %ld channels, half %ld\n", path, long(positions),
              long(channels), long(half));
}

// Packed bytes fit in the room that was told, and their end is in it.
static void pack() {
  for (const int64_t count : {0, 1, 65535, 65536, 150001})
    for (const uint32_t kinds : {1u, 2u, 7u, 256u}) {
      std::vector<uint8_t> bytes(count), out(dream_deflate_room(count));
      for (uint8_t& byte : bytes) {
        state = state * 1664525u + 1013904223u;
        byte = uint8_t((state >> 16) % kinds);
      }
      if (dream_deflate(bytes.data(), count, out.data()) > int64_t(out.size())) wrong++;
    }
}

int main() {
  pack();
  const int64_t shapes[][4] = {{1, 1, 16, 16}, {2, 3, 8, 24}, {5, 7, 3, 5}, {13, 9, 33, 17},
                               {9, 70, 16, 40}, {6, 5, 64, 64}};
  for (int path = 0; path < 5; path++) {
    if (!dream_supports(path)) continue;
    for (const auto& shape : shapes)
      for (int64_t pool = 0; pool < 3; pool++)
        for (int64_t rounds_up = 0; rounds_up < 2; rounds_up++)
          for (const bool half : {false, true})
            if (!half || path >= 3)
              check(path, shape[0], shape[1], shape[2], shape[3], pool, rounds_up, false, half);
    // Filters for which threads take panels, and part those that don't go round.
    if (path < 4) check(path, 4, 52, 168, 512, NO_POOL, 0, false);
    for (const bool half : {false, true}) {
      if (half && path < 3) continue;
      for (int64_t channels = 1; channels <= 4; channels++)
        check(path, 37, 19, channels, 21, 0, 0, true, half);
      check(path, 1, 1, 3, 64, 0, 0, true, half);
    }
    for (const int64_t positions : {1, 31, 257, 2100})
      for (const int64_t channels : {1, 5, 33, 64}) {
        correlate(path, positions, channels);
        for (int64_t half = 0; half < (path < 3 ? 1 : 4); half++)
          for (const bool adds : {false, true}) pull(path, positions, channels, half, adds);
      }
    std::printf("path %d: %d wrong\n", path, wrong);
  }
  return wrong > 0;
}
