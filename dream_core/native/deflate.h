// Bytes as deflate with Huffman's codes alone: for pictures, whose filtered rows repeat little and
// are made many times a second. No search for what came before, so one pass counts and one writes.
//
// Each block of 64 kB has codes of its own. What they are is told as 259 lengths of 4 bits each,
// 139 bytes in all: codes for the lengths, as zlib makes them, would save 1 part in a thousand.
//
// Source: RFC 1951; zlib's Z_HUFFMAN_ONLY, which it takes the place of.

namespace deflate {

constexpr int64_t BLOCK = 65535;  // the longest that may be stored as it is
constexpr int SYMBOLS = 257, END = 256, LONGEST = 15;

// Bits in order, the first in the lowest place.
struct Bits {
  uint8_t* out;
  uint64_t held = 0;
  int count = 0;

  void put(uint64_t bits, int length) { held |= bits << count, count += length; }

  // Write all whole bytes; eight are touched.
  void flush() {
    uint64_t low_first = held;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    low_first = __builtin_bswap64(low_first);
#endif
    std::memcpy(out, &low_first, 8);
    out += count >> 3, held >>= count & ~7, count &= 7;
  }
};

// How many bits each symbol takes. Where the rarest would take more than may be, all counts are
// made more alike and it is tried again; in the end they are equal, and take 9.
inline void measure(uint32_t* counts, uint8_t* lengths) {
  for (;;) {
    uint32_t weight[2 * SYMBOLS];
    int parent[2 * SYMBOLS], order[SYMBOLS], used = 0;
    for (int symbol = 0; symbol < SYMBOLS; symbol++)
      if (counts[symbol]) order[used++] = symbol;
    std::sort(order, order + used, [&](int one, int other) {
      return counts[one] != counts[other] ? counts[one] < counts[other] : one < other;
    });
    for (int i = 0; i < used; i++) weight[i] = counts[order[i]];
    // Two queues: symbols by count, and pairs in the order they are made, which is by weight too.
    int leaf = 0, pair = used, next = used;
    const auto lightest = [&] {
      return leaf < used && (pair == next || weight[leaf] <= weight[pair]) ? leaf++ : pair++;
    };
    for (; next < 2 * used - 1; next++) {
      const int one = lightest(), other = lightest();
      weight[next] = weight[one] + weight[other], parent[one] = parent[other] = next;
    }
    int depth[2 * SYMBOLS], deepest = 0;
    depth[2 * used - 2] = 0;
    for (int i = 2 * used - 3; i >= 0; i--) depth[i] = depth[parent[i]] + 1;
    std::memset(lengths, 0, SYMBOLS);
    for (int i = 0; i < used; i++)
      lengths[order[i]] = uint8_t(depth[i]), deepest = std::max(deepest, depth[i]);
    if (deepest <= LONGEST) return;
    for (int symbol = 0; symbol < SYMBOLS; symbol++) counts[symbol] = (counts[symbol] + 1) / 2;
  }
}

// The codes that the lengths stand for, the first bit lowest, each with its length above it.
inline void assign(const uint8_t* lengths, uint32_t* codes) {
  uint32_t first[LONGEST + 2] = {}, code = 0;
  for (int symbol = 0; symbol < SYMBOLS; symbol++) first[lengths[symbol] + 1] += lengths[symbol] > 0;
  for (int length = 1; length <= LONGEST; length++) code = first[length] = (code + first[length]) << 1;
  for (int symbol = 0; symbol < SYMBOLS; symbol++) {
    const int length = lengths[symbol];
    uint32_t turned = 0;
    if (length)
      for (uint32_t i = 0, left = first[length]++; i < uint32_t(length); i++, left >>= 1)
        turned = turned << 1 | (left & 1);
    codes[symbol] = turned | uint32_t(length) << 16;
  }
}

inline void tell_codes(Bits& bits, const uint8_t* lengths) {
  bits.put(SYMBOLS - 257, 5), bits.put(2 - 1, 5), bits.put(19 - 4, 4);  // and two of distances
  for (int i = 0; i < 19; i++) bits.put(i < 3 ? 0 : 4, 3), bits.flush();  // 16, 17, 18: not used
  for (int i = 0; i < SYMBOLS + 2; i++) {
    const int length = i < SYMBOLS ? lengths[i] : 1;  // a reader may want a code for distances
    const int turned = (length & 1) << 3 | (length & 2) << 1 | (length & 4) >> 1 | length >> 3;
    bits.put(turned, 4), bits.flush();
  }
}

inline void write_block(Bits& bits, const uint8_t* bytes, int64_t count, bool last) {
  uint32_t counts[SYMBOLS] = {}, each[4][256] = {};
  for (int64_t i = 0; i < count; i++) each[i & 3][bytes[i]]++;  // four, or equal ones would wait
  for (int i = 0; i < 256; i++) counts[i] = each[0][i] + each[1][i] + each[2][i] + each[3][i];
  counts[END] = 1;
  uint32_t codes[SYMBOLS];
  uint8_t lengths[SYMBOLS];
  const std::vector<uint32_t> found(counts, counts + SYMBOLS);
  measure(counts, lengths);
  int64_t total = 14 + 3 * 19 + 4 * (SYMBOLS + 2);
  for (int i = 0; i < SYMBOLS; i++) total += int64_t(found[i]) * lengths[i];
  bits.put(last, 1);
  if (total >= 8 * count + 32) {  // it has no order at all
    bits.put(0, 2 + ((8 - (bits.count + 2) % 8) & 7)), bits.flush();
    bits.put(uint64_t(count) | uint64_t(count ^ 0xffff) << 16, 32), bits.flush();
    std::copy(bytes, bytes + count, bits.out), bits.out += count;
    return;
  }
  bits.put(2, 2), tell_codes(bits, lengths), assign(lengths, codes);
  const auto put = [&](int symbol) { bits.put(codes[symbol] & 0xffff, codes[symbol] >> 16); };
  int64_t i = 0;
  for (; i + 3 <= count; i += 3)  // 7 that wait and three of 15 are fewer than 64
    put(bytes[i]), put(bytes[i + 1]), put(bytes[i + 2]), bits.flush();
  for (; i < count; i++) put(bytes[i]), bits.flush();
  put(END), bits.flush();
}

}  // namespace deflate

extern "C" {

// How many bytes may come of so many, at most.
int64_t dream_deflate_room(int64_t count) { return count + (count / deflate::BLOCK + 1) * 8 + 16; }

// Write them to `out`, which has that room; return how many there are.
int64_t dream_deflate(const uint8_t* bytes, int64_t count, uint8_t* out) {
  deflate::Bits bits{out};
  int64_t done = 0;
  do {
    const int64_t here = std::min(deflate::BLOCK, count - done);
    deflate::write_block(bits, bytes + done, here, done + here == count);
    done += here;
  } while (done < count);
  bits.put(0, (8 - bits.count) & 7), bits.flush();
  return bits.out - out;
}
}
