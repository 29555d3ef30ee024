// How the work is cut among caches and threads, and done.
//
// Small layers: all filters are transformed first, then each thread takes chunks of tiles. Large
// ones: all tiles in hand are transformed first, then each thread takes panels of output channels,
// whose filters it transforms in its own cache. Chunks get smaller towards the end, and panels that
// don't go round are parted, so that nobody waits long: with two threads as with thirty.

struct Cut {
  int64_t depth, panels, tiles, panel_floats;
  bool by_tiles;
  int64_t chunk, group;           // the most tiles at a time, panels at a time
  Layout layout;                  // of the tiles
  int64_t sums_plane;             // floats of the sums at one of the POINTS
  int64_t shared_floats, own_floats;
};

// In floats, measured layer by layer (docs/log.md): filters that a core's own cache holds beside a
// few tiles, and those that all threads can share; in tiles and columns, what fits beside them.
constexpr int64_t OWN_FILTERS = 400'000, SHARED_FILTERS = HALF ? 2'000'000 : 3'000'000;
constexpr int64_t FEW_TILES = 24, MORE_TILES = 96, MOST_TILES = 384;
constexpr int64_t FEW_COLUMNS = 64, GROUP_COLUMNS = 256;
constexpr int64_t LEAST_TILES = 12;  // for which it still pays to go through all filters
static_assert(LEAST_TILES % ROWS == 0 && FEW_TILES % ROWS == 0, "chunks are whole rows");

// The tiles that the next chunk has, of those that are left: a part of what a thread may expect.
static int64_t share_of(const Call& call, int64_t left, int64_t most) {
  const int64_t share = round_up((left + 2 * call.threads - 1) / (2 * call.threads), ROWS);
  return std::min(most, std::max(LEAST_TILES, share));
}

// Whether vectors of 16 floats meet a cache of about 1 MB, as in Zen 5, where it was measured. CPUs
// with AMX have twice as much; vectors half as long were measured beside half as much.
static bool is_tight() { return LEVEL >= 3 && own_cache() > 0 && own_cache() < 2 << 20; }

static Cut cut_of(const Call& call) {
  const int64_t more_tiles = is_tight() ? FEW_TILES : MORE_TILES;
  const int64_t group_columns = is_tight() ? FEW_COLUMNS : GROUP_COLUMNS;
  Cut cut;
  cut.depth = depth_of(call.inputs);
  cut.panels = (call.outputs + COLUMNS - 1) / COLUMNS;
  cut.tiles = ((call.bottom - call.top + TILE - 1) / TILE) * ((call.width + TILE - 1) / TILE);
  cut.panel_floats = POINTS * panel_plane(cut.depth);
  const int64_t all = cut.panels * cut.panel_floats;
  cut.by_tiles = all <= SHARED_FILTERS;
  const int64_t most = all <= OWN_FILTERS ? FEW_TILES : cut.by_tiles ? more_tiles : MOST_TILES;
  cut.chunk = cut.by_tiles ? share_of(call, cut.tiles, most)
                           : std::min(most, round_up(cut.tiles, ROWS));
  cut.group = cut.by_tiles ? std::min<int64_t>(cut.panels, group_columns / COLUMNS) : 1;
  cut.layout = layout_of(cut.depth, cut.chunk);
  cut.sums_plane = cut.chunk * cut.group * COLUMNS + 16;
  const int64_t tiles = cut.layout.all, sums = POINTS * cut.sums_plane;
  const int64_t filters = cut.by_tiles ? all : cut.panel_floats;
  cut.shared_floats = round_up(cut.by_tiles ? filters : tiles, 1024) + 16;
  cut.own_floats = round_up((cut.by_tiles ? tiles : filters) + sums, 1024) + 16;
  return cut;
}

static int64_t scratch_bytes(const Call& call) {
  const Cut cut = cut_of(call);
  return (cut.shared_floats + call.threads * cut.own_floats) * int64_t(sizeof(float));
}

// Products that are added one after the other; then such sums are. Long sums are most of what Winograd
// rounds off: of 512 channels half of it goes.
constexpr int64_t IN_A_ROW = 128;

template <bool AHEAD>
static void multiply_and_finish(const Call& call, const Cut& cut, int64_t first, int64_t count,
                                const float* tiles, int64_t panel, const float* filters,
                                float* sums) {
  const int64_t panels = std::min(cut.group, cut.panels - panel), columns = panels * COLUMNS;
  const int64_t floats = floats_of(cut.depth);
  // Forth a rounding flips ReLUs and pools. Back it moves a gradient by no more than itself.
  const int64_t in_a_row = HALF || call.back ? floats : IN_A_ROW;
  const auto panel_of = [&](int64_t p, int64_t point) {
    return filters + p * cut.panel_floats + point * panel_plane(cut.depth);
  };
  for (int64_t point = 0; point < POINTS; point++)
    for (int64_t p = 0; p < panels; p++) {
      const float *rows = tiles + point * cut.layout.point, *columns_of = panel_of(p, point);
      const float* after = p + 1 < panels ? panel_of(p + 1, point) : panel_of(0, point + 1);
      for (int64_t k = 0; k < floats; k += in_a_row) {
        const auto add = k ? multiply<AHEAD, HALF, true> : multiply<AHEAD, HALF, false>;
        add(rows + k / CACHE_LINE * cut.layout.line, cut.layout, columns_of + k * COLUMNS,
            k + in_a_row < floats ? columns_of + (k + in_a_row) * COLUMNS : after,
            sums + point * cut.sums_plane + p * COLUMNS, columns, round_up(count, ROWS),
            std::min(in_a_row, floats - k));
      }
    }
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
  float* sums = tiles + cut.layout.all;
  for (int64_t first = job.next; first < cut.tiles;) {
    const int64_t left = cut.tiles - first;
    const int64_t count = std::min(left, share_of(call, left, cut.chunk));
    if (!job.next.compare_exchange_weak(first, first + count)) continue;
    transform_input(call, first, count, tiles, cut.layout);
    for (int64_t panel = 0; panel < cut.panels; panel += cut.group)
      multiply_and_finish<SMALL_CACHE>(call, cut, first, count, tiles, panel,
                                       job.shared + panel * cut.panel_floats, sums);
    first = job.next;
  }
}

static void take_tiles(Job& job, int64_t) {
  const Cut cut = cut_of(*job.call);
  for (int64_t done; (done = job.next++ * ROWS) < job.count;)
    transform_input(*job.call, job.first + done, std::min<int64_t>(ROWS, job.count - done),
                    job.shared + done * cut.layout.tile, cut.layout);
}

static void take_panels(Job& job, int64_t slot) {
  const Call& call = *job.call;
  const Cut cut = cut_of(call);
  float* filters = job.own + slot * job.own_floats;
  float* sums = filters + cut.panel_floats;
  const int64_t rest = cut.panels % call.threads, whole = cut.panels - rest;
  const int64_t parts = rest ? call.threads / rest : 1;
  const int64_t part = round_up((job.count + parts - 1) / parts, ROWS);
  for (int64_t next; (next = job.next++) < whole + rest * parts;) {
    const bool parted = next >= whole;
    const int64_t panel = parted ? whole + (next - whole) / parts : next;
    const int64_t skipped = parted ? (next - whole) % parts * part : 0;
    const int64_t count = std::min(parted ? part : job.count, job.count - skipped);
    if (count <= 0) continue;
    transform_filters(call, panel * COLUMNS, filters);
    multiply_and_finish<true>(call, cut, job.first + skipped, count,
                              job.shared + skipped * cut.layout.tile, panel, filters, sums);
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
