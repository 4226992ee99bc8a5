/** The random scene of a picture of the embedded benchmark: position, tilt, background, light, blur, grain. */
import type { Random } from "../../util/random";

export const colours = {
  red: [214, 48, 49],
  orange: [240, 140, 30],
  yellow: [245, 215, 70],
  green: [70, 170, 80],
  blue: [50, 110, 210],
  purple: [140, 80, 190],
  pink: [240, 150, 190],
  brown: [130, 90, 60],
  gray: [140, 140, 140],
  white: [250, 250, 250],
  black: [20, 20, 20],
} as const;
type Colour = keyof typeof colours;
export const colourNames = Object.keys(colours) as Colour[];

/**
 * The style in which one dataset's pictures differ from another's, as satellite images differ from photos of pets.
 * Pretraining uses none of these.
 */
export type Look =
  | "plain"
  | "waves"
  | "dusk"
  | "haze"
  | "motion"
  | "screen"
  | "print"
  | "warm"
  | "clutter"
  | "vignette"
  | "posterised";

/**
 * All values that are sampled at random for one picture. Lengths are in units of half a picture, angles in radians,
 * light values in [0, 1].
 */
export type Scene = {
  scale: number;
  tilt: number;
  shear: number;
  stretch: number;
  shift: [number, number];
  background: Colour;
  textured: boolean;
  gray: boolean;
  hue: number;
  brightness: number;
  contrast: number;
  blurred: boolean;
  pixelated: boolean;
  noise: number;
  hidden: boolean;
  silhouette: boolean;
  sketched: boolean;
};

/** Samples a random scene. `strength` 0 shows the unchanged drawing on a plain background; the benchmark uses 0.5. */
export function drawScene(random: Random, strength: number): Scene {
  const k = strength;
  const scale = 1 - 0.5 * k * random.uniform() + 0.08 * random.uniform();
  const maxShift = Math.max(1.05 - scale, 0.1) * 0.9 * k;
  const blurred = random.uniform() < 0.22 * k;
  return {
    scale,
    tilt: random.uniform() < 0.3 ? 0 : random.normal() * 0.22 * k,
    shear: random.normal() * 0.12 * k,
    stretch: Math.exp(random.normal() * 0.1 * k),
    shift: [(random.uniform() * 2 - 1) * maxShift, (random.uniform() * 2 - 1) * maxShift],
    background: random.uniform() < 0.35 ? "white" : random.pick(colourNames),
    textured: random.uniform() < 0.35 * k,
    gray: random.uniform() < 0.08 * k,
    hue: random.normal() * 0.25 * k,
    brightness: random.normal() * 0.13 * k,
    contrast: Math.exp(random.normal() * 0.15 * k),
    blurred,
    pixelated: !blurred && random.uniform() < 0.1 * k,
    noise: random.uniform() < 0.5 ? random.uniform() * 0.22 * k : 0,
    hidden: random.uniform() < 0.35 * k,
    silhouette: false,
    sketched: false,
  };
}
