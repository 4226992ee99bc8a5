// The product of matrices.
#pragma once

namespace promptsrc {

// Element (i, j) is data[i * rowStride + j * columnStride].
struct Matrix {
  const float* data;
  int rowStride, columnStride;
};

// c [R,m] = a [R,n] b [n,m]; the rows of c lie `width` elements apart.
void multiply(int R, int n, int m, const Matrix& a, const Matrix& b, float* c, int width);

}  // namespace promptsrc
