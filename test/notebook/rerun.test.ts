/** A cell that trains, in real kernels: the stop button and the same cell again, and two notebooks that ask for the same. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { drawShapes } from "../shapes";
import { temporaryFolder } from "../temporary";
import { type Kernel, type Message, startKernel } from "./kernelClient";

const folder = temporaryFolder("rerun");
let kernels: Kernel[];
beforeAll(async () => {
  await drawShapes(join(folder, "shapes"));
  kernels = [await startKernel(folder), await startKernel(folder)];
  for (const kernel of kernels)
    await kernel.run(`import { ablation, loadClip, loadDataset } from "./src/kit";
const clip = await loadClip("test/golden");
const study = (results: string) => ablation({
  title: "Prompts", clip, results, shots: 2, seeds: [1], datasets: [loadDataset(${JSON.stringify(join(folder, "shapes"))})],
  variants: { short: (config) => ({ ...config, epochs: 24 }) },
});`);
});
afterAll(() => {
  for (const kernel of kernels) kernel.stop();
});

const cell = (results: string) =>
  `const one = study(${JSON.stringify(join(folder, results))});
await one.run();
console.log(JSON.stringify(one.scores()));`;
const errorOf = (messages: Message[]) => messages.find(({ type }) => type === "error")?.content.evalue;
/** What was printed, and every state of the progress line. */
const shownBy = (messages: Message[]) =>
  messages.map(({ content }) => content.text ?? content.data?.["text/plain"] ?? "").join("\n");
const scoresOf = (messages: Message[]) => /^\[\{.*$/m.exec(shownBy(messages))?.[0];

test("the stop button ends a training, the same cell goes on to the same numbers, and two kernels share them", async () => {
  const [kernel, other] = kernels;
  const undisturbed = scoresOf(await other.run(cell("undisturbed")));
  expect(undisturbed).toContain('"novel"');

  const request = kernel.send("execute_request", { code: cell("stopped"), silent: false });
  const isTraining = () =>
    kernel.messages.some(({ content }) => /epoch [3-9]\//.test(JSON.stringify(content.data ?? "")));
  while (!isTraining()) await new Promise((resolve) => setTimeout(resolve, 5));
  kernel.interrupt();
  const stopped = await kernel.finished(request);
  expect(errorOf(stopped)).toBe("the run was stopped; run the cell again to continue after the last finished epoch");
  await new Promise((resolve) => setTimeout(resolve, 300)); // requests sent together with a cell that failed are aborted
  const again = await kernel.run(cell("stopped"));
  expect(shownBy(again)).toMatch(/epoch \d+\//);
  expect(shownBy(again)).not.toMatch(/epoch [12]\//);
  expect(scoresOf(again)).toBe(undisturbed);

  const both = await Promise.all(kernels.map((one) => one.run(cell("shared"))));
  expect(both.map(scoresOf)).toEqual([undisturbed, undisturbed]);
  expect(both.map(shownBy).join()).toContain("being computed by another process");
});
