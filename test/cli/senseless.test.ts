/** Settings and options that make no sense are refused in one clear line, before the engine starts. */
import { expect, test, vi } from "vitest";
import { changeBy } from "../../src/cli/chosenSettings";
import { list, parseOptions, processesOf, wholeNumbers } from "../../src/cli/options";
import { fewShotItems } from "../../src/datasets/fewShot";
import { wantedThreads } from "../../src/engine/tf";
import { changed, configFor, type Settings } from "../../src/methods/method";
import { methods } from "../../src/methods/registry";
import { UsageError } from "../../src/util/errors";

test.each([
  "epochs=0",
  "epochs=1.5",
  "lr=-1",
  "momentum=5",
  "depth.text=0",
  "depth.text=-2",
  "depth.text=1.5",
  "tokens.text=0",
  "tokens.text=500",
  "tokens.image=1.5",
  "lossWeights.text=-1",
  "augmentation.scale=[5,9]",
  'augmentation={"scale":[2,1]}',
  'ensemble={"mean":6,"std":0}',
  'ensemble={"mean":1}',
  "textTargetTemplates=[]",
  'textTargetTemplates=["a photo"]',
])("--set %s", (text) => {
  const attempt = () => changeBy([text], [methods.promptsrc]);
  expect(attempt).toThrow(UsageError);
  expect(attempt).toThrow(/^settings of PromptSRC:\n[\w.]+: /);
});

const { tcp, mma, mmrl, "clip-lora": lora, proda } = methods;
test.each([
  ["warmup.epochs=500", tcp, /warm-up of 500 epochs is longer than the training of 50/],
  ["minimumLr=1", lora, /minimumLr: the cosine falls from lr, 0\.0002, to 1, which is larger/],
  ["mma.blocks.from=20", mma, /mma\.blocks: needs `from` before `to`/],
  ["lora.rank=1.5", lora, /lora\.rank: /],
  ["lora.rank=1000000000", lora, /lora\.rank: .*<=256/],
  ["lora.dropout=2", lora, /lora\.dropout: /],
  ["lora.alpha=-1", lora, /lora\.alpha: /],
  ["mmrl.tokens=500", mmrl, /mmrl\.tokens: .*<=64/],
  ["adam.beta2=NaN", mmrl, /adam\.beta2: .*number/],
  ["adam.beta1=1", mmrl, /adam\.beta1: .*<1/],
  ["adam.epsilon=1e300", mmrl, /adam\.epsilon: .*<=1/],
  ["proda.contexts=1000000000", proda, /proda\.contexts: .*<=256/],
])("--set %s", (text, method, message) => {
  expect(() => changeBy([text], [method])).toThrow(message);
});

test("a change in a notebook that returns nothing, or misspells a setting inside of another", () => {
  const config = configFor(methods.promptsrc, "paper", "baseToNovel");
  expect(() => changed(methods.promptsrc, config, () => undefined as any)).toThrow(/returns them all/);
  const misspelt = (before: Settings) => ({ ...before, tokens: { ...before.tokens, imgae: 3 } });
  expect(() => changed(methods.promptsrc, config, misspelt)).toThrow(/PromptSRC has no setting "tokens\.imgae"/);
});

test.each([
  [() => processesOf("100000"), /^--processes 100000: expected a whole number from 1 to \d+$/],
  [() => list("methods", ","), /^--methods ",": expected names/],
  [() => fewShotItems({} as any, 1, -1), /a seed must be a whole number from 0; it is -1/],
  [() => wantedThreads(), /PROMPTSRC_THREADS is "100000"; use a whole number from 1 to 1024/],
])("options and seeds", (attempt, message) => {
  vi.stubEnv("PROMPTSRC_THREADS", "100000");
  expect(attempt).toThrow(message);
  vi.unstubAllEnvs();
});

test.each(["-1", "0", "1.5", "99999999999999999999", "1e3", "x"])("--seeds %s", (text) => {
  const attempt = () => {
    const { values } = parseOptions(["--seeds", text], { seeds: { type: "string" } });
    return wholeNumbers("seeds", values.seeds as string);
  };
  expect(attempt).toThrow(UsageError);
  expect(attempt).toThrow(/^--seeds .*: expected whole numbers from 1/);
});
