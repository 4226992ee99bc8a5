/** A small CLIP with random weights in a temporary folder, and settings for a quick training of it. */
import { writeRandomClip as write } from "../bench/randomClip";
import { temporaryFolder } from "./temporary";

export { quickConfig, randomTensors, sizes } from "../bench/randomClip";

/** @returns the folder of the model */
export const writeRandomClip = (changes: Parameters<typeof write>[0] = {}): string =>
  write(changes, temporaryFolder("clip"));
