/** The classifier of a command: trained prompts from a file (`--prompts`), or zero-shot CLIP with a sentence. */
import type { Clip } from "../clip/model";
import { tf } from "../engine/tf";
import { promptsFor, readPrompts, type TrainedPrompts } from "../experiments/trainedPrompts";
import type { Classifier } from "../methods/method";
import { methodNamed, methods } from "../methods/registry";
import { toDevice } from "../training/ensemble";
import { UsageError } from "../util/errors";
import { fromHere } from "./options";

/** The options of a command that classifies. */
export const classifierOptions = { prompts: { type: "string" }, template: { type: "string" } } as const;

type ClassifierChoice = { prompts: TrainedPrompts } | { template: string };

/**
 * What the options choose; zero-shot CLIP with "a photo of a {}.", or the dataset's own sentence, if they are not given.
 * @throws UsageError for both options at once, a template without {}, and a file that holds no prompts
 */
export function chooseClassifier(
  { prompts, template }: { prompts?: string; template?: string },
  sentence = "a photo of a {}.",
): ClassifierChoice {
  if (prompts === undefined) {
    if (template !== undefined && !template.includes("{}"))
      throw new UsageError(`--template "${template}" has no {} for the class name`);
    return { template: template ?? sentence };
  }
  if (template !== undefined)
    throw new UsageError("--prompts and --template: trained prompts take the place of a sentence; give one of them");
  return { prompts: readPrompts(fromHere(prompts)) };
}

/** In a few words, for the title of a table. */
export const describeClassifier = (choice: ClassifierChoice): string =>
  "prompts" in choice ? methodNamed(choice.prompts.method).title : `zero-shot CLIP, "${choice.template}"`;

/** Builds the classifier for class names; its `dispose` frees the prompts, too. */
export function buildClassifier(choice: ClassifierChoice, clip: Clip, classNames: string[]): Classifier {
  if ("template" in choice) {
    const config = { zeroShotTemplates: [choice.template] };
    return methods.clip.classify({ clip, classNames, config, seed: 1 }, {});
  }
  const { method, task } = promptsFor(choice.prompts, clip, classNames);
  const params = toDevice(choice.prompts.params);
  const classifier = method.classify(task, params);
  return {
    ...classifier,
    dispose() {
      classifier.dispose();
      tf.dispose(params);
    },
  };
}
