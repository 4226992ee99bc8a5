/**
 * The camera of the embedded benchmark: renders one drawing (64 x 64 RGBA) as one picture (48 x 48 RGB) under seeded
 * nuisance factors: position, tilt, background, light, blur, grain, occlusion. Pretraining and benchmark use the same
 * camera.
 */
import type { Random } from "../../util/random";
import { colourNames, colours, type Look, type Scene } from "./scene";

export const DRAWING = 64; // pixels per side of a drawing
export const PICTURE = 48; // pixels per side of a picture
/**
 * Version of the camera. It is increased whenever the pictures change, so that they are rendered again and results on
 * old pictures are not taken for results on new ones.
 */
export const CAMERA = 2;
const S = PICTURE;

/**
 * A drawing as premultiplied RGBA in [0, 1], [64, 64, 4]. With an `ink` (for monochrome icons and silhouettes), all its
 * pixels have this colour.
 */
function premultiplied(drawing: Uint8Array, ink: readonly number[] | null): Float32Array {
  const out = new Float32Array(DRAWING * DRAWING * 4);
  for (let i = 0; i < out.length; i += 4) {
    const alpha = drawing[i + 3] / 255;
    for (let c = 0; c < 3; c++) out[i + c] = (ink ? ink[c] : drawing[i + c] / 255) * alpha;
    out[i + 3] = alpha;
  }
  return out;
}

/** Turns a drawing into a line drawing, in place: dark where luminance or coverage change, transparent elsewhere. */
function sketch(rgba: Float32Array) {
  const n = DRAWING;
  const light = new Float32Array(n * n);
  for (let i = 0; i < light.length; i++)
    light[i] = 0.3 * rgba[4 * i] + 0.59 * rgba[4 * i + 1] + 0.11 * rgba[4 * i + 2] - 0.6 * rgba[4 * i + 3];
  for (let y = 0; y < n; y++)
    for (let x = 0; x < n; x++) {
      const i = y * n + x;
      const dx = light[y * n + Math.min(x + 1, n - 1)] - light[y * n + Math.max(x - 1, 0)];
      const dy = light[Math.min(y + 1, n - 1) * n + x] - light[Math.max(y - 1, 0) * n + x];
      const line = Math.min(1, 2.2 * Math.sqrt(dx * dx + dy * dy));
      rgba[4 * i] = rgba[4 * i + 1] = rgba[4 * i + 2] = 0.08 * line;
      rgba[4 * i + 3] = line;
    }
}

/**
 * Projects the drawing onto the picture by an inverse affine map with bilinear sampling. Composites it over the
 * background in `out` [48, 48, 3].
 */
function projectDrawing(rgba: Float32Array, scene: Scene, look: Look, phase: number, out: Float32Array) {
  const n = DRAWING;
  const c = Math.cos(scene.tilt) / scene.scale;
  const s = Math.sin(scene.tilt) / scene.scale;
  const [a, b, d, e] = [c * scene.stretch, -s + scene.shear * c, s * scene.stretch, c];
  const exposures = look === "motion" ? 4 : 1; // averaged along the direction of motion
  for (let y = 0; y < S; y++)
    for (let x = 0; x < S; x++) {
      let red = 0,
        green = 0,
        blue = 0,
        cover = 0;
      for (let m = 0; m < exposures; m++) {
        const u = (2 * x + 1) / S - 1 + (exposures > 1 ? (m - 1.5) * 0.07 : 0);
        let v = (2 * y + 1) / S - 1;
        if (look === "waves") v += 0.1 * Math.sin(4.5 * u + phase);
        const px = ((a * u + b * v - scene.shift[0] + 1) * n - 1) / 2;
        const py = ((d * u + e * v - scene.shift[1] + 1) * n - 1) / 2;
        if (px <= -1 || py <= -1 || px >= n || py >= n) continue;
        const x0 = Math.floor(px);
        const y0 = Math.floor(py);
        const fx = px - x0;
        const fy = py - y0;
        for (let k = 0; k < 4; k++) {
          const xi = x0 + (k & 1);
          const yj = y0 + (k >> 1);
          if (xi < 0 || yj < 0 || xi >= n || yj >= n) continue;
          const w = (k & 1 ? fx : 1 - fx) * (k >> 1 ? fy : 1 - fy);
          const q = 4 * (yj * n + xi);
          red += w * rgba[q];
          green += w * rgba[q + 1];
          blue += w * rgba[q + 2];
          cover += w * rgba[q + 3];
        }
      }
      const o = 3 * (y * S + x);
      const background = 1 - cover / exposures;
      out[o] = red / exposures + background * out[o];
      out[o + 1] = green / exposures + background * out[o + 1];
      out[o + 2] = blue / exposures + background * out[o + 2];
    }
}

/** Adds a smooth random field to `out`: per channel, bilinear interpolation of `cells` x `cells` normal values. */
function texture(random: Random, cells: number, amount: number, out: Float32Array) {
  const grid = Float32Array.from({ length: cells * cells * 3 }, () => random.normal() * amount);
  const at = (k: number) => Math.min(Math.max(((k + 0.5) * cells) / S - 0.5, 0), cells - 1);
  for (let y = 0; y < S; y++) {
    const gy = at(y),
      y0 = Math.min(Math.floor(gy), cells - 2),
      fy = gy - y0;
    for (let x = 0; x < S; x++) {
      const gx = at(x),
        x0 = Math.min(Math.floor(gx), cells - 2),
        fx = gx - x0;
      const corner = 3 * (y0 * cells + x0);
      for (let c = 0; c < 3; c++) {
        const above = (1 - fx) * grid[corner + c] + fx * grid[corner + 3 + c];
        const below = (1 - fx) * grid[corner + 3 * cells + c] + fx * grid[corner + 3 * cells + 3 + c];
        out[3 * (y * S + x) + c] += (1 - fy) * above + fy * below;
      }
    }
  }
}

/** Rotates the colours about the gray axis by `angle` radians, in place. */
function rotateHue(image: Float32Array, angle: number) {
  const c = Math.cos(angle),
    s = Math.sin(angle) / Math.sqrt(3),
    o = (1 - c) / 3;
  for (let i = 0; i < image.length; i += 3) {
    const r = image[i];
    const g = image[i + 1];
    const b = image[i + 2];
    image[i] = (c + o) * r + (o - s) * g + (o + s) * b;
    image[i + 1] = (o + s) * r + (c + o) * g + (o - s) * b;
    image[i + 2] = (o - s) * r + (o + s) * g + (c + o) * b;
  }
}

/** Mean over squares of 2r + 1 pixels per side, with the edge pixels repeated. Computed separably along both axes. */
function boxBlur(image: Float32Array, r: number): Float32Array {
  const blurAxis = (from: Float32Array, step: number, stride: number) => {
    const to = new Float32Array(from.length);
    for (let line = 0; line < S; line++)
      for (let k = 0; k < S; k++)
        for (let c = 0; c < 3; c++) {
          let sum = 0;
          for (let d = -r; d <= r; d++) sum += from[line * stride + Math.min(Math.max(k + d, 0), S - 1) * step + c];
          to[line * stride + k * step + c] = sum / (2 * r + 1);
        }
    return to;
  };
  return blurAxis(blurAxis(image, 3, 3 * S), 3 * S, 3);
}

/** Replaces each block of 3 x 3 pixels by its mean, in place. */
function pixelate(image: Float32Array) {
  for (let y = 0; y < S; y += 3)
    for (let x = 0; x < S; x += 3)
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let j = 0; j < 3; j++) for (let i = 0; i < 3; i++) sum += image[3 * ((y + j) * S + x + i) + c];
        for (let j = 0; j < 3; j++) for (let i = 0; i < 3; i++) image[3 * ((y + j) * S + x + i) + c] = sum / 9;
      }
}

function rectangle(random: Random, image: Float32Array, side: number) {
  const colour = [random.uniform(), random.uniform(), random.uniform()];
  const [cx, cy] = [random.uniform() * S, random.uniform() * S];
  for (let y = Math.max(0, Math.ceil(cy - side / 2)); y < Math.min(S, cy + side / 2); y++)
    for (let x = Math.max(0, Math.ceil(cx - side / 2)); x < Math.min(S, cx + side / 2); x++)
      for (let c = 0; c < 3; c++) image[3 * (y * S + x) + c] = colour[c];
}

/** Strength of a look in a picture: 0 is no effect, 1 the full effect. */
const LOOK = 0.75;

/** Applies the look of a dataset in place, by mixing the picture with its altered version. */
function applyLook(image: Float32Array, look: Look, random: Random) {
  for (let y = 0; y < S; y++)
    for (let x = 0; x < S; x++) {
      const o = 3 * (y * S + x);
      const r = image[o];
      const g = image[o + 1];
      const b = image[o + 2];
      let red = r;
      let green = g;
      let blue = b;
      if (look === "dusk") {
        red = 0.72 * r;
        green = 0.74 * g + 0.01;
        blue = 0.8 * b + 0.07;
      } else if (look === "haze") {
        red = 0.55 * r + 0.36;
        green = 0.55 * g + 0.38;
        blue = 0.55 * b + 0.42;
      } else if (look === "screen" && y % 3 === 0) {
        red = 0.55 * r;
        green = 0.55 * g;
        blue = 0.6 * b;
      } else if (look === "print") {
        const light = 0.3 * r + 0.59 * g + 0.11 * b;
        red = 0.55 * r + 0.39 * light + 0.06;
        green = 0.55 * g + 0.36 * light + 0.04;
        blue = 0.55 * b + 0.28 * light + 0.01;
      } else if (look === "warm") {
        red = Math.min(1, 1.02 * r + 0.04);
        green = 0.93 * g + 0.02;
        blue = 0.82 * b;
      } else if (look === "vignette") {
        const u = (2 * x) / S - 1;
        const v = (2 * y) / S - 1;
        const f = Math.max(0.3, 1.1 - 0.45 * (u * u + v * v));
        red = f * r;
        green = f * g;
        blue = f * b;
      } else if (look === "posterised") {
        red = Math.round(3 * r) / 3;
        green = Math.round(3 * g) / 3;
        blue = Math.round(3 * b) / 3;
      }
      image[o] += LOOK * (red - r);
      image[o + 1] += LOOK * (green - g);
      image[o + 2] += LOOK * (blue - b);
    }
  if (look === "clutter") for (let i = 0; i < 5; i++) rectangle(random, image, 4 + random.int(6));
}

/**
 * Renders one picture of one drawing.
 * @param drawing [64, 64, 4] uint8
 * @param mono whether the drawing is monochrome; it is then filled with a randomly chosen colour
 * @returns [48, 48, 3] uint8
 */
export function renderPicture(
  drawing: Uint8Array,
  mono: boolean,
  scene: Scene,
  look: Look,
  random: Random,
): Uint8Array {
  const ink =
    mono || scene.silhouette
      ? random.uniform() < 0.5
        ? [0, 0, 0].fill(random.uniform() * 0.15)
        : colours[random.pick(colourNames.slice(0, 9))].map((v) => (v / 255) * (0.6 + 0.4 * random.uniform()))
      : null;
  const rgba = premultiplied(drawing, ink);
  if (scene.sketched) sketch(rgba);

  // A dark drawing would be invisible on black, so the background is then white.
  const backgroundColour =
    (ink || scene.sketched) && scene.background === "black" ? colours.white : colours[scene.background];
  let image: Float32Array = new Float32Array(S * S * 3);
  const tint = [0, 1, 2].map((c) => Math.min(1, Math.max(0, backgroundColour[c] / 255 + random.normal() * 0.05)));
  for (let i = 0; i < image.length; i++) image[i] = tint[i % 3];
  if (scene.textured) texture(random, 6, 0.12, image);
  projectDrawing(rgba, scene, look, random.uniform() * 6.28, image);

  if (scene.gray)
    for (let i = 0; i < image.length; i += 3)
      image[i] = image[i + 1] = image[i + 2] = (image[i] + image[i + 1] + image[i + 2]) / 3;
  rotateHue(image, scene.hue);
  for (let i = 0; i < image.length; i++) image[i] = (image[i] - 0.5) * scene.contrast + 0.5 + scene.brightness;
  if (scene.blurred) image = boxBlur(image, 2);
  if (scene.pixelated) pixelate(image);
  if (look !== "plain") applyLook(image, look, random);
  // Grain is the sum of two uniform random numbers, scaled to the standard deviation scene.noise.
  const grain = Math.sqrt(6) * scene.noise;
  if (grain > 0) for (let i = 0; i < image.length; i++) image[i] += (random.uniform() + random.uniform() - 1) * grain;
  if (scene.hidden) rectangle(random, image, (0.15 + 0.25 * random.uniform()) * S);
  const bytes = new Uint8Array(image.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.round(255 * Math.min(1, Math.max(0, image[i])));
  return bytes;
}
