/** All benchmarks by name. To add one, write a file in this folder and add it to the list below. */

import type { Benchmark } from "../experiments/benchmark";
import { baseToNovel } from "./baseToNovel";
import { cost } from "./cost";
import { fewShot } from "./fewShot";
import { crossDataset, domainGeneralisation } from "./transfer";

export const benchmarks: Record<string, Benchmark> = Object.fromEntries(
  [baseToNovel, fewShot, crossDataset, domainGeneralisation, cost].map((benchmark) => [benchmark.name, benchmark]),
);
