/** The look at all pictures of a command's datasets before anything is computed. */
import { drawnUnseen, leakedPictures, undecodable, withoutUndecodable } from "../datasets/checkPictures";
import type { Dataset } from "../datasets/split";
import { terminalScreen } from "../experiments/progress";

/**
 * Looks at every picture of the datasets before anything is computed; of training pictures that are too many (ImageNet)
 * at those that these numbers of shots and seeds draw.
 * @returns `decodable`, which gives a dataset without its undecodable pictures, and the paths of these
 * @throws UsageError naming them, unless they are to be skipped
 */
export async function lookAtPictures(
  datasets: Dataset[],
  shots: number[],
  seeds: number[],
  skip: boolean,
): Promise<{ decodable(dataset: Dataset): Dataset; leftOut: string[] }> {
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
  for (const dataset of datasets) {
    let left = await look(dataset, dataset);
    // Where a picture is left out, others are drawn, which are looked at in turn.
    for (let before: Dataset | undefined; before !== left; ) {
      before = left;
      for (const drawn of drawnUnseen(before, shots, seeds)) left = await look(left, drawn);
    }
    checked.set(dataset.name, left);
    const leaked = leakedPictures(dataset);
    if (leaked.length > 0) {
      const [[trained, tested]] = leaked;
      screen.print(
        `${dataset.name}: ${leaked.length} test pictures are also training pictures, such as ${tested} (${trained})`,
      );
    }
  }
  return { decodable: (dataset) => checked.get(dataset.name) ?? dataset, leftOut: [...leftOut] };
}
