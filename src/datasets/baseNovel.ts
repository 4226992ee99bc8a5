/** The base and the novel classes of a dataset. */
import { UsageError } from "../util/errors";
import type { Dataset, Item } from "./split";

/**
 * The two halves of the classes (Dassl/CoOp subsample_classes): labels sorted, the first ceil(n / 2) are base, the rest
 * novel, relabelled from 0 in that order, in all three parts. Draw few shots before this, from all classes, as the
 * official code does.
 */
export function baseNovel(dataset: Dataset): { base: Dataset; novel: Dataset } {
  const n = dataset.classNames.length;
  if (n < 2) throw new UsageError(`${dataset.name} has ${n} class; base and novel need 2 or more`);
  const middle = Math.ceil(n / 2);
  return { base: keepClasses(dataset, 0, middle), novel: keepClasses(dataset, middle, n) };
}

function keepClasses(dataset: Dataset, first: number, end: number): Dataset {
  const keep = (items: Item[]) =>
    items.filter(({ label }) => label >= first && label < end).map((item) => ({ ...item, label: item.label - first }));
  return {
    ...dataset,
    classNames: dataset.classNames.slice(first, end),
    train: keep(dataset.train),
    val: keep(dataset.val),
    test: keep(dataset.test),
  };
}
