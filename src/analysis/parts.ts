/** What methods learn: where their parts lie in the encoders, and how many numbers these have. */
import type { Clip } from "../clip/model";
import { tf } from "../engine/tf";
import { configFor, type Method, type Part, trainingSettings } from "../methods/method";

/** A method's parts; `numbers` is how many the training changes, undefined of a method without a training by steps. */
export type LearntParts = { name: string; title: string; parts: Part[]; numbers?: number };

/**
 * The parts of methods with the settings of base-to-novel that belong to the model.
 * @param classNames the classes of the training: a classifier has weights for each
 * @throws if a method does not say where its parts lie
 */
export const learntParts = (methods: Method[], clip: Clip, classNames: string[]): LearntParts[] =>
  methods.map((method) => {
    const { name, title } = method;
    const config = trainingSettings(method, configFor(method, clip.preset, "baseToNovel"));
    const task = { clip, classNames, config, seed: 1 };
    const parts = method.parts?.(task);
    if (!parts) throw new Error(`${title} does not say where its parts lie ("parts" of its record)`);
    const params = method.init(task);
    const numbers = method.trainable ? Object.values(params).reduce((sum, { size }) => sum + size, 0) : undefined;
    tf.dispose(params);
    return { name, title, parts, numbers };
  });
