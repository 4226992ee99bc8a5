/** Accuracy class by class and dataset by dataset, of zero-shot CLIP and of trained prompts on the same pictures. */
import type { RowPredictions } from "../results/predictions";

/**
 * One class, or all classes of a dataset, in one test ("base", "novel", ...): accuracies in percent, over the pictures
 * of all seeds. `gained` of the pictures are right with the prompts only, `lost` with the frozen model only.
 */
export type Change = {
  name: string;
  dataset: string;
  test: string;
  pictures: number;
  seeds: number;
  frozen: number;
  prompted: number;
  gained: number;
  lost: number;
};

/**
 * How training changed the accuracy of every class: the predictions of the rows `frozen` and `prompted` picture by
 * picture, for each dataset and seed that both have. The largest gain comes first.
 * @throws if they share no dataset and seed, or their pictures are not the same
 */
export function changesByClass(predictions: RowPredictions[], frozen: string, prompted: string): Change[] {
  const changes = new Map<string, Change>();
  for (const after of predictions.filter(({ row }) => row === prompted)) {
    const { dataset, seed, tests } = after;
    const before = predictions.find((one) => one.row === frozen && one.dataset === dataset && one.seed === seed);
    if (!before) continue;
    for (const [test, { classNames, pictures }] of Object.entries(tests)) {
      const theirs = before.tests[test]?.pictures ?? [];
      if (theirs.length !== pictures.length || theirs.some(({ label }, k) => label !== pictures[k].label))
        throw new Error(`${dataset}, seed ${seed}: ${frozen} and ${prompted} were tested on different pictures`);
      const seen = new Set<number>();
      for (const [k, { label, predicted }] of pictures.entries()) {
        const change = found(changes, { name: classNames[label], dataset, test });
        if (!seen.has(label)) change.seeds += 1;
        seen.add(label);
        count(change, theirs[k].predicted === label, predicted === label);
      }
    }
  }
  if (changes.size === 0)
    throw new Error(`${frozen} and ${prompted} have no predictions of a dataset and seed in common`);
  return sorted([...changes.values()].map(inPercent));
}

/** The changes of whole datasets: the pictures of all classes of each dataset and test together. */
export function changesByDataset(classes: Change[]): Change[] {
  const datasets = new Map<string, Change>();
  for (const { dataset, test, pictures, seeds, frozen, prompted, gained, lost } of classes) {
    const sum = found(datasets, { name: dataset, dataset, test });
    sum.seeds = Math.max(sum.seeds, seeds);
    sum.pictures += pictures;
    sum.gained += gained;
    sum.lost += lost;
    sum.frozen += (frozen / 100) * pictures;
    sum.prompted += (prompted / 100) * pictures;
  }
  return sorted([...datasets.values()].map(inPercent));
}

function found(all: Map<string, Change>, { name, dataset, test }: Pick<Change, "name" | "dataset" | "test">): Change {
  const key = JSON.stringify([dataset, test, name]);
  const known = all.get(key);
  if (known) return known;
  const change = { name, dataset, test, pictures: 0, seeds: 0, frozen: 0, prompted: 0, gained: 0, lost: 0 };
  all.set(key, change);
  return change;
}

function count(change: Change, rightBefore: boolean, rightAfter: boolean): void {
  change.pictures += 1;
  change.frozen += Number(rightBefore);
  change.prompted += Number(rightAfter);
  change.gained += Number(rightAfter && !rightBefore);
  change.lost += Number(rightBefore && !rightAfter);
}

const inPercent = (change: Change): Change => ({
  ...change,
  frozen: (100 * change.frozen) / change.pictures,
  prompted: (100 * change.prompted) / change.pictures,
});

const sorted = (changes: Change[]): Change[] =>
  changes.sort((a, b) => b.prompted - b.frozen - (a.prompted - a.frozen) || b.prompted - a.prompted);
