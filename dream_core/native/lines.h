// Winograd's three transforms, of one line of a tile each

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
