/** The methods whose parts sit inside the encoders agree with the official code on the reference encoders, too. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { disposeClip, loadClip } from "../../src/clip/load";
import type { Clip } from "../../src/clip/model";
import { tf } from "../../src/engine/tf";
import { readJson } from "../../src/io/readJson";
import { readSafetensors } from "../../src/io/safetensors";
import { nearHandwritten } from "../../src/methods/kgcoop";
import { lora, loraChanges, loraHost } from "../../src/methods/lora";
import type { Method, Task } from "../../src/methods/method";
import { mma, mmaChanges, mmaHost } from "../../src/methods/mma";
import { mmrl, mmrlChanges, mmrlHost, nearFrozen } from "../../src/methods/mmrl";
import { crossEntropyAlone, type Host, type Objective, promptLearner } from "../../src/methods/promptLearner";
import { tcp, tcpChanges, tcpHost } from "../../src/methods/tcp";
import type { TowerChanges } from "../../src/methods/towers";
import { Checks } from "../../src/parity/checks";
import { readMeta, runOfFile } from "../../src/parity/meta";
import { trainingParity } from "../../src/parity/training";
import { referenceEncoders } from "../methods/referenceEncoders";

const golden = join("test", "golden");
let clip: Clip;
beforeAll(async () => {
  clip = await loadClip(golden);
});
afterAll(() => disposeClip(clip));

const cases: [string, Method, Host, (task: any) => TowerChanges, Objective][] = [
  ["tcp", tcp, tcpHost, tcpChanges, nearHandwritten],
  ["mma", mma, mmaHost, mmaChanges, crossEntropyAlone],
  ["mmrl", mmrl, mmrlHost, mmrlChanges, nearFrozen],
  ["clip_lora", lora, loraHost, loraChanges, crossEntropyAlone],
];

test.each(cases)("%s", async (label, method, host, changes, objective) => {
  const encoders = (task: Task) => referenceEncoders(task, changes(task));
  const onReference: Method = {
    ...promptLearner(method, { ...host, encoders, folded: undefined }, objective),
    settings: method.settings,
  };
  const meta = readMeta(join(golden, "meta.json"));
  const own = readJson(join(golden, `${label}.json`));
  const { images, labels } = readSafetensors(join(golden, "common.safetensors")).tensors;
  const { tensors: expected } = readSafetensors(join(golden, `${label}.safetensors`));
  const failed: string[] = [];
  const checks = new Checks((line) => line.startsWith("FAILED") && failed.push(line));
  const { config } = runOfFile(label, own, meta);
  await tf.ready();
  const replay = { label, expected, method: onReference, clip, meta: { ...meta, ...own }, config };
  await trainingParity(replay, images, labels.data as Float32Array, checks);
  expect(failed).toEqual([]);
  expect(checks.report.passed).toBeGreaterThan(40);
});
