/**
 * Pillow's image resampling, bit-exact (python-pillow, src/libImaging/Resample.c). Each output pixel is a weighted
 * sum of the input pixels under a filter that widens when an image is downsampled (antialiasing). Weights are 22-bit
 * fixed-point numbers, and the result of the first of the two passes is rounded to 8 bits. CLIP was trained on images
 * resampled in this way, and another resampler changes its features. The order of the passes is that of Pillow 13.
 * Older versions always run the horizontal pass first, which changes some crops by a few levels.
 */

/** Interleaved RGB, 8 bits: data[(y * width + x) * 3 + channel]. */
export type Picture = { width: number; height: number; data: Uint8Array };
/** A rectangle of pixels inside an image. */
export type Box = { top: number; left: number; height: number; width: number };

type Kernel = { support: number; weight(x: number): number };

const sinc = (x: number) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

/** Pillow's filters by name; x is the distance from the centre, in input pixels of the scaled grid. */
const kernels = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: {
    support: 1,
    weight: (x) => (Math.abs(x) >= 1 ? 0 : sinc(x) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(x * Math.PI))),
  },
  bicubic: {
    support: 2, // a = -0.5
    weight: (signed) => {
      const x = Math.abs(signed);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
      return 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
} satisfies Record<string, Kernel>;

export type Filter = keyof typeof kernels;

/** Weights of one pass: output i is the sum of weights[i * taps + k] * input[starts[i] + k] over k < counts[i]. */
type FilterTable = { taps: number; starts: Int32Array; counts: Int32Array; weights: Int32Array };

const precision = 22; // bits: 32, minus 8 for the pixel and 2 for overshoot
const half = 1 << (precision - 1);

function makeTable(from: number, to: number, filter: Filter): FilterTable {
  const kernel: Kernel = kernels[filter];
  const scale = from / to;
  const filterScale = Math.max(scale, 1);
  const support = kernel.support * filterScale;
  const taps = Math.ceil(support) * 2 + 1;
  const table = { taps, starts: new Int32Array(to), counts: new Int32Array(to), weights: new Int32Array(to * taps) };
  const exact = new Float64Array(taps);
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(from, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let k = 0; k < count; k++) sum += exact[k] = kernel.weight((k + start - centre + 0.5) * (1 / filterScale));
    for (let k = 0; k < count; k++) {
      const normalised = sum === 0 ? exact[k] : exact[k] / sum;
      table.weights[i * taps + k] = Math.trunc(normalised * (1 << precision) + (normalised < 0 ? -0.5 : 0.5));
    }
    table.starts[i] = start;
    table.counts[i] = count;
  }
  return table;
}

const tables = new Map<string, FilterTable>();

/**
 * Returns a cached table. Images of 48 pixels need only 48 tables, but crops of photographs have many sizes, hence the
 * limit of 2048.
 */
function tableFor(from: number, to: number, filter: Filter): FilterTable {
  const key = `${filter} ${from} ${to}`;
  let table = tables.get(key);
  if (!table) {
    if (tables.size >= 2048) tables.clear();
    table = makeTable(from, to, filter);
    tables.set(key, table);
  }
  return table;
}

/** Rows of RGB pixels inside a larger array: `stride` bytes from one row to the next, the first pixel at `offset`. */
type CropView = { data: Uint8Array; offset: number; stride: number; height: number; width: number };

const resizeHorizontally = (from: CropView, width: number, filter: Filter): CropView =>
  pass(
    from,
    { height: from.height, width },
    { along: 3, across: from.stride },
    { along: 3, across: width * 3 },
    tableFor(from.width, width, filter),
  );

const resizeVertically = (from: CropView, height: number, filter: Filter): CropView =>
  pass(
    from,
    { height, width: from.width },
    { along: from.stride, across: 3 },
    { along: from.width * 3, across: 3 },
    tableFor(from.height, height, filter),
  );

/**
 * Distances in bytes: `along` from one pixel of a line to the next, `across` from one line to the next. A line is a
 * row in the horizontal pass and a column in the vertical pass, so that one loop serves both.
 */
type Steps = { along: number; across: number };

function pass(
  from: CropView,
  size: { height: number; width: number },
  read: Steps,
  write: Steps,
  table: FilterTable,
): CropView {
  const { taps, starts, counts, weights } = table;
  const source = from.data;
  const target = new Uint8ClampedArray(size.height * size.width * 3); // overshoot of the filter is clipped
  const lines = (size.height * size.width) / starts.length;
  for (let line = 0; line < lines; line++) {
    const lineStart = from.offset + line * read.across;
    for (let i = 0; i < starts.length; i++) {
      let index = lineStart + starts[i] * read.along;
      let red = half;
      let green = half;
      let blue = half;
      for (let k = i * taps, end = k + counts[i]; k < end; k++, index += read.along) {
        const weight = weights[k];
        red = (red + Math.imul(source[index], weight)) | 0;
        green = (green + Math.imul(source[index + 1], weight)) | 0;
        blue = (blue + Math.imul(source[index + 2], weight)) | 0;
      }
      const out = line * write.across + i * write.along;
      target[out] = red >> precision;
      target[out + 1] = green >> precision;
      target[out + 2] = blue >> precision;
    }
  }
  return { data: new Uint8Array(target.buffer), offset: 0, stride: size.width * 3, ...size };
}

/** The box that covers a whole image. */
export const whole = (picture: Picture): Box => ({ top: 0, left: 0, height: picture.height, width: picture.width });

/**
 * Crops a box from an image and resizes it to height x width, as torchvision's `resized_crop`, or `resize` if the box
 * is the whole image. A pass that would not change the size is skipped, as in Pillow. If nothing changes, the image
 * itself is returned.
 * @throws if the box does not lie inside the image
 */
export function resize(picture: Picture, box: Box, height: number, width: number, filter: Filter): Picture {
  const { top, left } = box;
  const stride = picture.width * 3;
  if (
    top < 0 ||
    left < 0 ||
    box.height < 1 ||
    box.width < 1 ||
    top + box.height > picture.height ||
    left + box.width > picture.width
  ) {
    throw new Error(
      `crop ${JSON.stringify(box)} does not lie inside an image of ${picture.width} x ${picture.height} pixels`,
    );
  }
  if (box.height === height && box.width === width) {
    return height === picture.height && width === picture.width ? picture : cut(picture, box);
  }
  let view: CropView = {
    data: picture.data,
    offset: top * stride + left * 3,
    stride,
    height: box.height,
    width: box.width,
  };
  const verticalFirst = box.height > height && box.height - height > (box.width - width) * 2;
  if (verticalFirst) view = resizeVertically(view, height, filter);
  if (box.width !== width) view = resizeHorizontally(view, width, filter);
  if (view.height !== height) view = resizeVertically(view, height, filter);
  return { width, height, data: view.data };
}

/** A copy of the pixels in a box. Pixels outside the image are black, as torchvision pads them. */
export function cut(picture: Picture, box: Box): Picture {
  const { width, height } = box;
  const data = new Uint8Array(width * height * 3);
  const first = Math.max(0, -box.left);
  const last = Math.min(width, picture.width - box.left);
  for (let y = Math.max(0, -box.top); y < Math.min(height, picture.height - box.top); y++) {
    const row = ((box.top + y) * picture.width + box.left) * 3;
    data.set(picture.data.subarray(row + first * 3, row + last * 3), (y * width + first) * 3);
  }
  return { width, height, data };
}
