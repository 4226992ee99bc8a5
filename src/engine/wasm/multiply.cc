// The product of matrices.
#include "multiply.h"

#include "vectors.h"

namespace promptsrc {

// N rows by 8 columns of a product: c [N,8] = a [N,depth] panel [depth,8], added to c if `add`. The first `columns` are
// written. N = 6 fills the 16 vector registers of x64: 12 sums, two of the panel, one of a.
template <int N>
static void tile(int depth, const float* a, int rowStride, int columnStride, const float* panel, float* c, int width,
                 int columns, bool add) {
  Four left[N], right[N];
  for (int i = 0; i < N; i++) left[i] = right[i] = all(0);
  for (int k = 0; k < depth; k++, a += columnStride, panel += 8) {
    const Four b0 = load(panel), b1 = load(panel + 4);
#pragma unroll
    for (int i = 0; i < N; i++) {
      const Four x = all(a[i * rowStride]);
      left[i] += x * b0;
      right[i] += x * b1;
    }
  }
#pragma unroll
  for (int i = 0; i < N; i++, c += width) {
    if (columns == 8) {
      store(c, add ? load(c) + left[i] : left[i]);
      store(c + 4, add ? load(c + 4) + right[i] : right[i]);
    } else
      for (int j = 0; j < columns; j++) {
        const float value = j < 4 ? left[i][j] : right[i][j - 4];
        c[j] = add ? c[j] + value : value;
      }
  }
}

template <int N>
struct Size {
  static constexpr int count = N;
};

void multiply(int R, int n, int m, const Matrix& a, const Matrix& b, float* c, int width) {
  constexpr int deepest = 512;  // the panel takes 16 KB, half of a core's first cache
  float panel[deepest * 8];
  for (int k0 = 0; k0 < n || k0 == 0; k0 += deepest) {
    const int depth = n - k0 < deepest ? n - k0 : deepest;
    for (int j = 0; j < m; j += 8) {
      const int columns = m - j < 8 ? m - j : 8;
      const float* from = b.data + k0 * b.rowStride + j * b.columnStride;
      for (int k = 0; k < depth; k++, from += b.rowStride) {
        float* to = panel + 8 * k;
        if (columns == 8 && b.columnStride == 1) {
          store(to, load(from));
          store(to + 4, load(from + 4));
        } else
          for (int i = 0; i < 8; i++) to[i] = i < columns ? from[i * b.columnStride] : 0;
      }
      const auto rows = [&](auto size, int r) {
        tile<decltype(size)::count>(depth, a.data + r * a.rowStride + k0 * a.columnStride, a.rowStride, a.columnStride,
                                    panel, c + r * width + j, width, columns, k0 > 0);
      };
      int r = 0;
      for (; r + 6 <= R; r += 6) rows(Size<6>(), r);
      for (; r + 4 <= R; r += 4) rows(Size<4>(), r);
      for (; r < R; r++) rows(Size<1>(), r);
    }
  }
}

}  // namespace promptsrc
