/** All benchmarks by name. A new one is a file beside this and a line here. */

import type { Benchmark } from "../experiments/benchmark";
import { baseToNovel } from "./baseToNovel";
import { cost } from "./cost";
import { fewShot } from "./fewShot";
import { crossDataset, domainGeneralisation } from "./transfer";

export const benchmarks: Record<string, Benchmark> = Object.fromEntries(
  [baseToNovel, fewShot, crossDataset, domainGeneralisation, cost].map((benchmark) => [benchmark.name, benchmark]),
);
