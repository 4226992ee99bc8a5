/** What a reader of a result should know about its data; shown when the runs begin. */
import { shortClasses } from "../datasets/fewShot";
import { differsFromOfficial } from "../datasets/officialDraws";
import type { Dataset } from "../datasets/split";
import { plainName } from "../methods/prompts";
import { firstOfSameSentence } from "./evaluate";

/**
 * The training pictures of a run: drawn from `dataset` with this number of shots and seed; `count` of them are trained on,
 * in batches of `batch`.
 */
type FewShots = {
  dataset: Dataset;
  shots: number;
  seed: number;
  drawn: Dataset;
  count: number;
  batch?: number;
};

/** Remarks about the tested dataset and the few shots, if there are any; undefined if there is nothing to say. */
export function dataNotes(target: Dataset, few?: FewShots): string | undefined {
  const notes = [sameSentenceNote(target)];
  if (few)
    notes.push(
      shortageNote(few.dataset, few.shots),
      differsFromOfficial(few.drawn, few.shots, few.seed),
      batchNote(few.count, few.batch),
    );
  return notes.filter((note) => note !== undefined).join("\n") || undefined;
}

/** A remark about classes whose names make the same sentence; undefined if there are none. */
function sameSentenceNote({ name, classNames }: Dataset): string | undefined {
  const firstOf = firstOfSameSentence(classNames);
  const same = classNames.filter((_, label) => firstOf[label] !== label);
  if (same.length === 0) return undefined;
  const examples = same.slice(0, 3).map((className) => `"${plainName(className)}"`);
  return (
    `${name}: ${same.length} class names make the same sentence as another (${examples.join(", ")}), and the first of ` +
    "them is predicted for the images of both; the accuracy with the two as one class is stored beside it (merged)"
  );
}

/** A remark about the classes with fewer training images than `shots`; undefined if there are none. */
function shortageNote(dataset: Dataset, shots: number): string | undefined {
  const short = shortClasses(dataset, shots);
  if (short.length === 0) return undefined;
  const examples = short.slice(0, 3).map((c) => `${c.className} ${c.pictures}`);
  return `${dataset.name}: ${short.length} classes have fewer than ${shots} training images (${examples.join(", ")}${short.length > 3 ? " ..." : ""})`;
}

/** A remark about a batch that all training images together do not fill: the same for every run with this batch. */
const batchNote = (count: number, batch = 1): string | undefined =>
  count < batch
    ? `where a training has fewer images than a batch (${batch}), each step takes all of them, as in the official code`
    : undefined;
