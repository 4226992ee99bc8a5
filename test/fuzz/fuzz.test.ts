/** Damaged files of every kind, always the same ones, against every reader; `npm run fuzz` goes on for longer. */
import { expect, test } from "vitest";
import { fuzz } from "./fuzz";

test("every reader reads a damaged file, or says in one clear error what is wrong with it", async () => {
  const { inputs, findings } = await fuzz(1, 700, 60);
  expect(findings.map(({ input, reader, problem }) => `${input} ${reader}: ${problem}`)).toEqual([]);
  expect(inputs).toBeGreaterThan(200); // even a machine that is busy with other things reads as many
}, 120_000);
