/** The look at all pictures of a command's datasets before anything is computed. */
import { drawnUnseen, leakedPictures, undecodable, withoutUndecodable } from "../datasets/checkPictures";
import type { Dataset } from "../datasets/split";
import { terminalScreen } from "../experiments/progress";
import { UsageError } from "../util/errors";

/**
 * Looks at every picture of the datasets before anything is computed; of training pictures that are too many (ImageNet)
 * at those that these numbers of shots and seeds draw.
 * @returns `decodable`, which gives a dataset without its undecodable pictures, and the paths of these; `refusals`, by
 *   name the datasets that have such pictures where they are not to be skipped, with the reason
 * @throws UsageError naming them where no dataset is left
 */
export async function lookAtPictures(
  datasets: Dataset[],
  shots: number[],
  seeds: number[],
  skip: boolean,
): Promise<{ decodable(dataset: Dataset): Dataset; leftOut: string[]; refusals: Map<string, string> }> {
  const screen = terminalScreen();
  const checked = new Map<string, Dataset>();
  const leftOut = new Set<string>();
  /** What is left of `whole` without the pictures of `part` that cannot be decoded. */
  const look = async (whole: Dataset, part: Dataset): Promise<Dataset> => {
    const problems = await undecodable(part, (done, total) =>
      screen.update(`${part.name} \u00b7 looking at the pictures \u00b7 ${done} of ${total}`),
    );
    screen.clear();
    const left = withoutUndecodable(whole, problems, skip);
    for (const { path, reason } of problems) {
      screen.print(`left out: ${path} (${reason})`);
      leftOut.add(path);
    }
    return left;
  };
  const lookAtAll = async (dataset: Dataset): Promise<Dataset> => {
    let left = await look(dataset, dataset);
    // Where a picture is left out, others are drawn, which are looked at in turn.
    for (let before: Dataset | undefined; before !== left; ) {
      before = left;
      for (const drawn of drawnUnseen(before, shots, seeds)) left = await look(left, drawn);
    }
    return left;
  };
  const refusals = new Map<string, string>();
  for (const dataset of datasets) {
    try {
      checked.set(dataset.name, await lookAtAll(dataset));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      refusals.set(dataset.name, error.message);
      if (refusals.size === new Set(datasets.map(({ name }) => name)).size) throw error;
      continue;
    }
    const leaked = leakedPictures(dataset);
    if (leaked.length > 0) {
      const [[trained, tested]] = leaked;
      screen.print(
        `${dataset.name}: ${leaked.length} test pictures are also training pictures, such as ${tested} (${trained})`,
      );
    }
  }
  return { decodable: (dataset) => checked.get(dataset.name) ?? dataset, leftOut: [...leftOut], refusals };
}
