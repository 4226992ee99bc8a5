/**
 * From a picture file to what the image tower sees: decoding as Pillow's `.convert("RGB")`, the transforms of CLIP's
 * preprocessor_config.json as torchvision makes them, normalised float32 planes. Shapes: [3, height, width] for one
 * picture.
 */
import { readFile } from "node:fs/promises";
import { decode as decodeBmpAbgr } from "bmp-ts";
import sharp from "sharp";
import { type FileKind, identifyBytes, kindWords } from "./identify";
import { type Box, cut, type Filter, type Picture, resize, whole } from "./resample";

/** What a model's preprocessor_config.json asks for. */
export type Preprocess = {
  /** Resize the shorter side to this many pixels ... */
  shortestEdge: number | null;
  /** ... or both sides to this size; both null: pictures are not resized. */
  resizeTo: Size | null;
  /** Centre crop after the resize, null for none. */
  crop: Size | null;
  filter: Filter;
  /** Grey levels (0-255) times this, less `mean`, over `std` per channel. */
  rescale: number;
  mean: number[];
  std: number[];
  /** Size of the result: what the model must expect. */
  output: Size;
  /** [3, 256] the normalised value of every grey level per channel, in float32 steps as torchvision computes them. */
  table: Float32Array;
};
export type Size = { height: number; width: number };

/** PIL.Image.Resampling's numbers; 0 (nearest) is not among the filters here. */
const filters: Filter[] = ["nearest" as Filter, "lanczos", "bilinear", "bicubic", "box", "hamming"];

/** A filter by Pillow's number or by its name. */
const filterOf = (value: unknown): Filter | undefined =>
  typeof value === "string" ? filters.slice(1).find((name) => name === value.toLowerCase()) : filters[value as number];

/**
 * Reads a preprocessor_config.json, with the defaults of transformers' CLIPImageProcessor for what it leaves out. Sizes
 * may be a number, {"shortest_edge"} or {"height", "width"}. `where` names the file in errors.
 */
export function readPreprocess(json: unknown, where: string): Preprocess {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new Error(`${where}: expected a JSON object of settings`);
  const settings = json as Record<string, any>;
  const asked = (key: string) => settings[key] ?? true; // do_resize and its like are on unless switched off
  const wrong = (key: string, wanted: string): never => {
    throw new Error(`${where}: "${key}" should be ${wanted}; it is ${JSON.stringify(settings[key])}`);
  };
  const pixels = (value: unknown) => Number.isInteger(value) && (value as number) > 0;
  const sized = (value: any): value is Size => value && pixels(value.height) && pixels(value.width);

  const size = asked("do_resize") ? (settings.size ?? 224) : null;
  const shortestEdge = pixels(size) ? size : pixels(size?.shortest_edge) ? size.shortest_edge : null;
  const resizeTo = sized(size) ? { height: size.height, width: size.width } : null;
  if (size !== null && (size.longest_edge !== undefined || (!shortestEdge && !resizeTo))) {
    wrong("size", 'a number of pixels, {"shortest_edge"} or {"height", "width"}');
  }
  const cropped = asked("do_center_crop") ? (settings.crop_size ?? 224) : null;
  const crop = pixels(cropped)
    ? { height: cropped, width: cropped }
    : sized(cropped)
      ? { height: cropped.height, width: cropped.width }
      : null;
  if (cropped !== null && !crop) wrong("crop_size", 'a number of pixels or {"height", "width"}');
  const output = crop ?? resizeTo;
  if (!output)
    throw new Error(
      `${where}: without "do_center_crop" the "size" must give {"height", "width"}, or pictures come out in different sizes`,
    );

  const filter = filterOf(settings.resample ?? 3) as Filter;
  if (!filter || settings.resample === 0)
    wrong(
      "resample",
      "one of Pillow's filters 1 (lanczos), 2 (bilinear), 3 (bicubic), 4 (box), 5 (hamming), or its name",
    );
  const rescale = asked("do_rescale") ? (settings.rescale_factor ?? 1 / 255) : 1;
  if (!(rescale > 0)) wrong("rescale_factor", "a number above 0, 1/255 as a rule");
  const normalised = asked("do_normalize");
  const mean = normalised ? (settings.image_mean ?? clipMean) : [0, 0, 0];
  const std = normalised ? (settings.image_std ?? clipStd) : [1, 1, 1];
  const three = (value: unknown) => Array.isArray(value) && value.length === 3 && value.every(Number.isFinite);
  if (!three(mean)) wrong("image_mean", "three numbers (red, green, blue)");
  if (!three(std) || std.includes(0)) wrong("image_std", "three numbers other than 0 (red, green, blue)");
  const table = new Float32Array(3 * 256);
  for (let c = 0; c < 3; c++) {
    for (let v = 0; v < 256; v++) {
      table[c * 256 + v] = Math.fround(Math.fround(v * rescale) - Math.fround(mean[c])) / Math.fround(std[c]);
    }
  }
  return { shortestEdge, resizeTo, crop, filter, rescale, mean, std, output, table };
}

/** CLIP's own statistics (openai/CLIP clip.py:85). */
const clipMean = [0.48145466, 0.4578275, 0.40821073];
const clipStd = [0.26862954, 0.26130258, 0.27577711];

/**
 * Decodes a file (or its bytes) as PIL.Image.open(...).convert("RGB") does: no rotation by EXIF, no colour profile,
 * alpha is dropped and not blended, grey and palettes become RGB, of an animation the first frame, CMYK by Pillow's
 * formula, 16-bit grey cut at 255. One difference from Pillow: a GIF's transparent pixels are black. Broken files are
 * errors where they are for Pillow (cut short), and are not where Pillow ignores it (stray bytes).
 */
export async function decode(file: string | Buffer): Promise<Picture> {
  let kind: FileKind = "unknown";
  try {
    const bytes = typeof file === "string" ? await readFile(file) : file;
    kind = identifyBytes(bytes, bytes.length);
    return bytes.subarray(0, 2).toString("latin1") === "BM" ? decodeBmp(bytes) : await decodeOther(bytes);
  } catch (error) {
    // An HTML page under the name of a picture, say: that explains more than what the decoder missed in it.
    const reason = kind === "picture" || kind === "unknown" ? (error as Error).message : `it is ${kindWords[kind]}`;
    throw new Error(`${typeof file === "string" ? file : "picture"}: cannot be read as a picture (${reason})`);
  }
}

/** libvips, which sharp is built on, does not read BMP. */
function decodeBmp(bytes: Buffer): Picture {
  const { width, height, data: abgr } = decodeBmpAbgr(bytes); // its option toRGBA leaves out palettes
  const data = new Uint8Array(width * height * 3);
  for (let i = 0, o = 0; o < data.length; i += 4, o += 3) {
    [data[o], data[o + 1], data[o + 2]] = [abgr[i + 3], abgr[i + 2], abgr[i + 1]];
  }
  return { width, height, data };
}

async function decodeOther(bytes: Buffer): Promise<Picture> {
  const image = sharp(bytes, { ignoreIcc: true, failOn: "error" });
  const { space, depth, channels } = await image.metadata();
  if (channels === 1 && depth === "ushort") {
    const { data, info } = await image
      .toColourspace("grey16")
      .raw({ depth: "ushort" })
      .toBuffer({ resolveWithObject: true });
    const grey = new Uint16Array(data.buffer, data.byteOffset, info.width * info.height);
    const rgb = new Uint8Array(grey.length * 3);
    grey.forEach((value, i) => {
      rgb.fill(Math.min(value, 255), 3 * i, 3 * i + 3);
    });
    return { width: info.width, height: info.height, data: rgb };
  }
  const cmyk = space === "cmyk";
  const pixels = cmyk
    ? image.pipelineColourspace("cmyk").toColourspace("cmyk")
    : image.removeAlpha().toColourspace("srgb");
  const { data, info } = await pixels.raw().toBuffer({ resolveWithObject: true });
  const rgb = cmyk ? cmykToRgb(data) : new Uint8Array(data.buffer, data.byteOffset, data.length);
  return { width: info.width, height: info.height, data: rgb };
}

/** Pillow's conversion (libImaging/Convert.c, cmyk2rgb): the ink's complement, darkened by black. */
function cmykToRgb(cmyk: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((cmyk.length / 4) * 3);
  for (let i = 0, o = 0; i < cmyk.length; i += 4) {
    const light = 255 - cmyk[i + 3];
    for (let c = 0; c < 3; c++) {
      const product = cmyk[i + c] * light + 128;
      rgb[o++] = light - (((product >> 8) + product) >> 8);
    }
  }
  return rgb;
}

/** Python's round: halves go to the even neighbour. */
export function pythonRound(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

/**
 * The test transform: resize, then centre crop with torchvision's offset int(round((side - crop) / 2)); a picture
 * smaller than the crop is padded with black (torchvision.transforms.functional.center_crop).
 */
export function testPicture(picture: Picture, preprocess: Preprocess): Picture {
  const { shortestEdge, resizeTo, crop, filter } = preprocess;
  const { height, width } = resizeTo ?? (shortestEdge ? fitShorterSide(picture, shortestEdge) : picture);
  const resized = resize(picture, whole(picture), height, width, filter);
  if (!crop || (crop.height === height && crop.width === width)) return resized;
  return cut(resized, { top: cropOffset(height, crop.height), left: cropOffset(width, crop.width), ...crop });
}

/** The longer side is cut down to whole pixels, as in torchvision's and transformers' code. */
function fitShorterSide({ height, width }: Size, side: number): Size {
  if (width <= height) return { width: side, height: Math.trunc((side * height) / width) };
  return { width: Math.trunc((side * width) / height), height: side };
}

const cropOffset = (side: number, crop: number) =>
  crop > side ? -Math.floor((crop - side) / 2) : pythonRound((side - crop) / 2);

/** The train transform's first half: a box of the picture, resized to what the model sees. */
export function cropPicture(picture: Picture, box: Box, preprocess: Preprocess): Picture {
  return resize(picture, box, preprocess.output.height, preprocess.output.width, preprocess.filter);
}

/** Writes a picture's normalised planes [3, height, width] to out[offset...], mirrored left to right if `flip`. */
export function normalisePixels(
  picture: Picture,
  preprocess: Preprocess,
  flip: boolean,
  out: Float32Array,
  offset: number,
): void {
  const { width, height, data } = picture;
  const { table } = preprocess;
  const plane = width * height;
  for (let y = 0, i = 0; y < height; y++) {
    let o = offset + y * width + (flip ? width - 1 : 0);
    for (let x = 0; x < width; x++, i += 3, o += flip ? -1 : 1) {
      out[o] = table[data[i]];
      out[o + plane] = table[256 + data[i + 1]];
      out[o + 2 * plane] = table[512 + data[i + 2]];
    }
  }
}

/** What a model sees at once: normalised pixels [B, 3, height, width], a fresh array for each batch, and labels [B]. */
export type PixelBatch = { pixels: Float32Array; labels: Int32Array; paths?: string[] };
