// What a Gram dose pulls at its layer: (positions, C) · (C, C), written, or added to what is there.
// Sums are float32 on every path; with PAIRS what is multiplied is of 16 bit, two at a time.

constexpr int64_t PULLED = 96;  // positions that fit into the nearest caches
constexpr int64_t MOST_TAKEN = 8 * PULLED;  // by a thread at a time: what follows is fetched ahead
static_assert(PULLED % ROWS == 0, "positions in hand are whole rows");

struct Pull {
  int64_t positions, panels, floats, stride;  // floats of a position, and from one to the next
  int64_t taken;                              // positions that a thread takes at a time
  int64_t panel_floats, left_floats, own_floats;
};

template <bool PAIRS>
static Pull pull_of(const Call& call) {
  Pull pull;
  pull.positions = call.height * call.width;
  pull.taken = round_up(std::min(MOST_TAKEN, pull.positions / (4 * call.threads) + 1), PULLED);
  pull.panels = (call.inputs + COLUMNS - 1) / COLUMNS;
  pull.floats = PAIRS ? (call.inputs + 1) / 2 : call.inputs;
  pull.stride = round_up(pull.floats, 16) + 16;
  pull.panel_floats = pull.floats * COLUMNS;
  pull.left_floats = PULLED * pull.stride;
  pull.own_floats = round_up(pull.left_floats + PULLED * COLUMNS, 1024) + 16;
  return pull;
}

// Pairs take less.
static int64_t pull_scratch_bytes(const Call& call) {
  const Pull pull = pull_of<false>(call);
  return (pull.panels * pull.panel_floats + call.threads * pull.own_floats) * int64_t(sizeof(float));
}

// Pull `count` positions from `first` on.
template <bool PAIRS>
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
      const V value = fetch<true>(call, at, lanes_at(channels, channel));
      if (PAIRS)
        put(left + i * pull.stride + channel / 2, value);
      else
        store(left + i * pull.stride + channel, value);
    }
  for (int64_t panel = 0; panel < pull.panels; panel++, panels += pull.panel_floats) {
    multiply<false, PAIRS>(left, rows_of(pull.stride), panels, nullptr, sums, COLUMNS,
                           round_up(count, ROWS), pull.floats);
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

#if LEVEL == 4
// The same as lay_out, for pairs of rows of the weights.
static void lay_out_pairs(const Call& call, float* panels) {
  const int64_t channels = call.inputs;
  for (int64_t first = 0; first < channels; first += COLUMNS)
    for (int64_t k = 0; k < channels; k += 2)
      for (int64_t column = first; column < first + COLUMNS; column += LANES, panels += LANES) {
        const int64_t lanes = std::max<int64_t>(0, lanes_at(channels, column));
        const float* at = call.weight + k * channels + column;
        put_pair(panels, load_some(at, lanes), load_some(at + channels, k + 1 < channels ? lanes : 0));
      }
}
#endif

template <bool PAIRS>
static void take_positions_to_pull(Job& job, int64_t slot) {
  const Pull pull = pull_of<PAIRS>(*job.call);
  float* left = job.own + slot * job.own_floats;
  float* sums = left + pull.left_floats;
  for (int64_t first; (first = job.next++ * pull.taken) < pull.positions;) {
    const int64_t last = std::min(first + pull.taken, pull.positions);
    for (; first < last; first += PULLED)
      pull_some<PAIRS>(*job.call, pull, first, std::min(PULLED, last - first), job.shared, left,
                       sums);
  }
}

template <bool PAIRS>
static void pull_by(const Call& call) {
  const Pull pull = pull_of<PAIRS>(call);
  Job job;
  job.call = &call;
  job.shared = reinterpret_cast<float*>(call.scratch);
  job.own = job.shared + round_up(pull.panels * pull.panel_floats, 16);
  job.own_floats = pull.own_floats;
#if LEVEL == 4
  if (PAIRS)
    lay_out_pairs(call, job.shared);
  else
#endif
    lay_out(call.inputs, call.inputs, call.inputs, job.shared,
            [&](int64_t k, int64_t column) { return call.weight[k * call.inputs + column]; });
  job.work = take_positions_to_pull<PAIRS>, run(job);
}

static void pull(const Call& call) {
  if (HALF && call.half) return pull_by<HALF>(call);
  pull_by<false>(call);
}

#if LEVEL == 4
static void pull_in_float32(const Call& call) { pull_by<false>(call); }
#endif
