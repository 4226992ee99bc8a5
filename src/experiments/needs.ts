/**
 * What a run needs, known before it is computed: a context of the model that holds its sentences, and an estimate of the
 * memory and the room on the disk that it takes. The factors of the estimate were measured on ViT-B/16 and on
 * mini-clip, with 20 to 500 classes and batches of 1 to 32 (native engine, two threads); there it lies between 0.8 and
 * 2 times the measured peak of CoOp, CoCoOp, MaPLe, ProDA and PromptSRC.
 */
import { tokenise } from "../clip/fast/suffixes";
import type { Clip } from "../clip/model";
import { tf, usesGpu } from "../engine/tf";
import type { Method, Settings, Task } from "../methods/method";
import { fillTemplate, promptSentence } from "../methods/prompts";
import { imagesPerPass } from "./evaluate";
import type { Needs } from "./room";

/** Bytes of an array of float32. */
const bytes = (...shape: number[]): number => shape.reduce((product, n) => product * n, 4);

/** What the engine takes for itself in a first run, in bytes. */
const engineBytes = 100e6;
/** Arrays of the size of the tokens that a pass through a block holds: without a gradient, with one, and in testing. */
const [frozenArrays, trainedArrays, testArrays] = [8, 15, 65];
/** What the blocks of an encoder save at most for the backward pass (src/clip/fast). */
const savedBytes = { text: 160e6, image: 288e6 };
/** Tokens of a class name with its start and end, where names are short. */
const nameTokens = 8;

/** @param task the training's; its settings and classes decide */
export function needsOf(method: Method, task: Task): Needs {
  const { clip, config, classNames } = task;
  const testing = bytes(imagesPerPass(clip) * clip.image.positions.shape[0], clip.image.width) * testArrays;
  const onGpu = usesGpu();
  if (!method.trainable) return { memory: onGpu ? 0 : engineBytes + testing, stored: 0, reduce: [] };
  const parameters = tf.tidy(() => Object.values(method.init(task)).reduce((sum, { size }) => sum + size, 0));
  const stored = bytes(parameters, config.epochs + 1);
  const [text, image] = [textBytes(clip, config, classNames.length, method), imageBytes(clip, config)];
  const training = text + image;
  const memory = engineBytes + Math.max(training, testing) + 3 * stored; // as read, as tensors, and as a file
  const reduce =
    training < testing
      ? []
      : [`batch (${config.batch})`, ...(text > image ? [`the classes (${classNames.length})`] : [])];
  return { memory: onGpu ? 0 : memory, stored, reduce };
}

/** The sentences that were looked at, with what is wrong with them. */
const sentences = new WeakMap<Clip, Map<string, string | undefined>>();

/**
 * What is wrong with the first sentence that the model's context does not hold, of the templates and prompts of these
 * settings with these class names; undefined if all fit. A token is a byte at least, so that most need not be tokenised.
 */
export function tooLong(clip: Clip, config: Settings, classNames: string[]): string | undefined {
  const known = sentences.get(clip) ?? new Map<string, string | undefined>();
  sentences.set(clip, known);
  const prompt =
    config.tokens?.text === undefined
      ? []
      : [promptSentence({ tokens: config.tokens, contextInit: config.contextInit }, "{}")];
  const templates: string[] = [...(config.zeroShotTemplates ?? []), ...(config.textTargetTemplates ?? []), ...prompt];
  const room = clip.text.context - 2 - Math.max(0, ...templates.map((template) => Buffer.byteLength(template)));
  for (const name of new Set(classNames.filter((name) => Buffer.byteLength(name) > room))) {
    for (const sentence of templates.map((template) => fillTemplate(template, name))) {
      if (!known.has(sentence)) known.set(sentence, problemOf(clip, sentence));
      const problem = known.get(sentence);
      if (problem !== undefined) return problem;
    }
  }
  return undefined;
}

function problemOf(clip: Clip, sentence: string): string | undefined {
  try {
    tokenise(clip, sentence);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Of a training step in the text encoder: all classes pass through it in every step. */
function textBytes({ text }: Clip, config: Task["config"], classes: number, method: Method): number {
  const { count, heldAtOnce = false } = method.contexts?.(config) ?? { count: 1 };
  const tokens = (config.tokens?.text ?? 4) + nameTokens;
  const all = bytes(classes * count * tokens, text.width);
  const saved = all * 9 * text.blocks.length;
  return heldAtOnce ? saved : all * frozenArrays + Math.min(savedBytes.text, saved);
}

/** Of a training step in the image encoder: the frozen features, and those with prompts where there are any. */
function imageBytes({ image }: Clip, config: Task["config"]): number {
  const one = bytes(config.batch * image.positions.shape[0], image.width);
  const frozen = one * frozenArrays;
  if (!config.depth?.image && !config.tokens?.image) return frozen;
  return frozen + one * trainedArrays + Math.min(savedBytes.image, one * 9 * image.blocks.length);
}
