/** Settings and options that make no sense are refused in one clear line, before the engine starts. */
import { expect, test } from "vitest";
import { changeBy } from "../../src/cli/chosenSettings";
import { parseOptions, wholeNumbers } from "../../src/cli/options";
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

test.each(["-1", "0", "1.5", "99999999999999999999", "1e3", "x", ","])("--seeds %s", (text) => {
  const attempt = () => {
    const { values } = parseOptions(["--seeds", text], { seeds: { type: "string" } });
    return wholeNumbers("seeds", values.seeds as string);
  };
  expect(attempt).toThrow(UsageError);
  expect(attempt).toThrow(/^--seeds .*: expected whole numbers from 1/);
});
