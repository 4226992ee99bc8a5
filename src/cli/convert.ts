/** `npm run promptsrc -- convert <in> <out>`: trained prompts between the kit's file and the official trainers'. */
import { parseChange, put } from "../configs/change";
import { writeOfficial } from "../experiments/officialCheckpoint";
import { readPrompts, type TrainedPrompts, writePrompts } from "../experiments/trainedPrompts";
import type { Settings } from "../methods/method";
import { methodNamed } from "../methods/registry";
import { UsageError } from "../util/errors";
import { fromHere, parseOptions } from "./options";

export const convertHelp = `  convert <in> <out>  trained prompts: an official model.pth.tar-<epoch> to the kit's .safetensors, or back
    --method name     where the official file leaves a choice, such as kgcoop for CoOp's or ivlp for PromptSRC's
    --set key=value   a setting that the official file does not tell: contextInit, coop.position`;

export async function convert(args: string[]): Promise<number> {
  const { values, positionals } = parseOptions(args, {
    method: { type: "string" },
    set: { type: "string", multiple: true },
  });
  if (positionals.length !== 2)
    throw new UsageError("convert needs two files: the prompts, and where to write them (.safetensors or .pth.tar-20)");
  const [from, to] = positionals;
  const isOfficial = /\.pth(\.tar(-\d+)?)?$/.test(to);
  if (!isOfficial && !to.endsWith(".safetensors")) {
    throw new UsageError(
      `${to}: the name ends neither in .safetensors (the kit's file) nor in .pth.tar-<epoch>, .pth.tar or .pth (the official)`,
    );
  }
  const changes = values.set?.map(parseChange);
  const change =
    changes &&
    ((config: Settings) => changes.reduce<Settings>((settings, { key, value }) => put(settings, key, value), config));
  const prompts = readPrompts(fromHere(from), values.method, change);
  if (isOfficial) writeOfficial(fromHere(to), methodNamed(prompts.method), prompts.config, prompts.params);
  else writePrompts(fromHere(to), prompts);
  console.log(`${from} holds ${describePrompts(prompts)}; written to ${to}`);
  return 0;
}

/** In words that follow "is" or "holds": method, tensors, and the settings that its classifier depends on. */
export function describePrompts({ method, config, params, classNames, model }: TrainedPrompts): string {
  const shapes = Object.values(params).map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  const both = (setting?: Record<string, number>) =>
    Object.entries(setting ?? {})
      .map(([tower, value]) => `${tower} ${value}`)
      .join(", ");
  const parts = [
    `${shapes.length} tensors of ${shapes.reduce((a, b) => a + b, 0)} numbers`,
    config.tokens && `tokens: ${both(config.tokens)}`,
    config.depth && `depth: ${both(config.depth)}`,
    config.contextInit && `initial words "${config.contextInit}"`,
    config.coop &&
      `class name: ${config.coop.position}${config.coop.classSpecific ? ", a context for each class" : ""}`,
    classNames && `${classNames.length} classes of the training`,
    model && `model ${model.name}`,
  ];
  return `trained prompts of ${methodNamed(method).title} (${parts.filter(Boolean).join("; ")})`;
}
