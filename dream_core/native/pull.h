// What a Gram dose pulls at its layer: (positions, C) · (C, C), written, or added to what is there.
// Products and sums are float32 on every path, whatever is read and written.

constexpr int64_t PULLED = 96;  // positions that fit into the nearest caches
constexpr int64_t MOST_TAKEN = 8 * PULLED;  // by a thread at a time: what follows is fetched ahead
static_assert(PULLED % ROWS == 0, "positions in hand are whole rows");

struct Pull {
  int64_t positions, panels, stride;
  int64_t taken;  // positions that a thread takes at a time
  int64_t panel_floats, left_floats, own_floats;
};

static Pull pull_of(const Call& call) {
  Pull pull;
  pull.positions = call.height * call.width;
  pull.taken = round_up(std::min(MOST_TAKEN, pull.positions / (4 * call.threads) + 1), PULLED);
  pull.panels = (call.inputs + COLUMNS - 1) / COLUMNS;
  pull.stride = round_up(call.inputs, 16) + 16;
  pull.panel_floats = call.inputs * COLUMNS;
  pull.left_floats = PULLED * pull.stride;
  pull.own_floats = round_up(pull.left_floats + PULLED * COLUMNS, 1024) + 16;
  return pull;
}

static int64_t pull_scratch_bytes(const Call& call) {
  const Pull pull = pull_of(call);
  return (pull.panels * pull.panel_floats + call.threads * pull.own_floats) * int64_t(sizeof(float));
}

// Pull `count` positions from `first` on.
static void pull_some(const Call call, const Pull& pull, int64_t first, int64_t count,
                      const float* panels, float* left, float* sums) {
  const int64_t channels = call.inputs;
  Call there = call;
  there.input = call.output, there.half = call.half >> 1;
  for (int64_t i = 0; i < count; i++)
    for (int64_t channel = 0; channel < channels; channel += LANES) {
      const int64_t at = (first + i) * channels + channel;
      if (begins_line(channel, call.half & 1)) expect_to_read(call, at + PULLED * channels);
      if (begins_line(channel, call.half & 2)) expect_to_write(call, at);
      store(left + i * pull.stride + channel,
            fetch<true>(call, at, lanes_at(channels, channel)));
    }
  for (int64_t panel = 0; panel < pull.panels; panel++, panels += pull.panel_floats) {
    multiply<false, false>(left, rows_of(pull.stride), panels, nullptr, sums, COLUMNS,
                           round_up(count, ROWS), channels);
    const int64_t last = std::min<int64_t>((panel + 1) * COLUMNS, channels);
    for (int64_t i = 0; i < count; i++)
      for (int64_t channel = panel * COLUMNS; channel < last; channel += LANES) {
        const int64_t at = (first + i) * channels + channel, lanes = lanes_at(channels, channel);
        V value = load(sums + i * COLUMNS + channel % COLUMNS);
        if (call.adds) value += fetch<true>(there, at, lanes);
        deposit(call, at, lanes, value);
      }
  }
}

static void take_positions_to_pull(Job& job, int64_t slot) {
  const Pull pull = pull_of(*job.call);
  float* left = job.own + slot * job.own_floats;
  float* sums = left + pull.left_floats;
  for (int64_t first; (first = job.next++ * pull.taken) < pull.positions;) {
    const int64_t last = std::min(first + pull.taken, pull.positions);
    for (; first < last; first += PULLED)
      pull_some(*job.call, pull, first, std::min(PULLED, last - first), job.shared, left, sums);
  }
}

static void pull(const Call& call) {
  const Pull pull = pull_of(call);
  Job job;
  job.call = &call;
  job.shared = reinterpret_cast<float*>(call.scratch);
  job.own = job.shared + round_up(pull.panels * pull.panel_floats, 16);
  job.own_floats = pull.own_floats;
  lay_out(call.inputs, call.inputs, call.inputs, job.shared,
          [&](int64_t k, int64_t column) { return call.weight[k * call.inputs + column]; });
  job.work = take_positions_to_pull, run(job);
}
