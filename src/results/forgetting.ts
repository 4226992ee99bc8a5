/**
 * Forgetting, from the accuracies after every epoch: what is gained or lost since the first epoch, and when the loss
 * begins.
 */
import { type Interval, pairedBootstrap } from "./bootstrap";
import { intervalText } from "./differences";
import { comparable, type Score, summarise } from "./statistics";
import { type Run, settingOf } from "./store";
import type { Column, Labelled, Table } from "./table";

/** The runs of an unfinished grid on the datasets and seeds that all methods have. */
export const comparableRuns = (runs: Run[]): Run[] =>
  comparable(runs.map((run) => ({ ...run, base: run.metrics.base, novel: run.metrics.novel })));

const scoresAt = (runs: Run[], epoch: number): Score[] =>
  runs.flatMap((run) => {
    const metrics = run.epochs.find((e) => e.epoch === epoch)?.metrics;
    const { dataset, seed } = run;
    return metrics ? [{ dataset, seed, base: metrics.base, novel: metrics.novel, setting: settingOf(run) }] : [];
  });

const epochsOf = (runs: Run[]): number[] => (runs[0]?.epochs ?? []).filter((e) => e.metrics).map((e) => e.epoch);

/** Bootstrap draws for one point of a curve: the interval's ends are then accurate to a tenth of its length. */
const draws = 1000;

export type Change = { epoch: number; base: Interval; novel: Interval };

/**
 * The change of accuracy after each epoch relative to the first epoch, as the mean and 95 % interval over datasets
 * and seeds. The first epoch runs at the warm-up's learning rate, which hardly changes the initial prompts. All epochs
 * are tested on the same images.
 * @throws if the runs contain no accuracy per epoch
 */
export function changesOf(runs: Run[]): Change[] {
  const epochs = epochsOf(runs);
  if (epochs.length === 0) throw new Error("the runs hold no accuracy per epoch; run them with perEpoch: true");
  const first = scoresAt(runs, epochs[0]);
  return epochs.map((epoch) => {
    const change = (metric: "base" | "novel") => pairedBootstrap(scoresAt(runs, epoch), first, metric, draws);
    return { epoch, base: change("base"), novel: change("novel") };
  });
}

/**
 * Forgetting by dataset: novel accuracy after the first epoch, at its best and after the last epoch, and the epoch from
 * which it stays below that of the first.
 */
export function forgettingTable(runs: Run[], methods: Labelled[]): Table {
  const datasets = [...new Set(runs.map((run) => run.dataset))];
  const rows = datasets.flatMap((dataset) =>
    methods.flatMap((method) => {
      const ofMethod = runs.filter((run) => run.dataset === dataset && run.method === method.name);
      const novel = epochsOf(ofMethod).map((epoch) => ({
        epoch,
        value: summarise(scoresAt(ofMethod, epoch)).novel.mean,
      }));
      if (novel.length === 0) return [];
      const [start, end] = [novel[0], novel[novel.length - 1]];
      const best = novel.reduce((a, b) => (b.value > a.value ? b : a));
      const lastNotBelow = novel.filter(({ value }) => value >= start.value).pop()?.epoch ?? start.epoch;
      return [
        {
          dataset,
          method: method.title,
          start: start.value,
          best: best.value,
          at: best.epoch,
          end: end.value,
          change: end.value - start.value,
          since: lastNotBelow < end.epoch ? lastNotBelow + 1 : undefined,
        },
      ];
    }),
  );
  return {
    title: "Novel accuracy (%) on the way",
    columns: [
      { key: "dataset", title: "dataset" },
      { key: "method", title: "method" },
      { key: "start", title: "first epoch" },
      { key: "best", title: "best" },
      { key: "at", title: "in epoch", digits: 0 },
      { key: "end", title: "last epoch" },
      { key: "change", title: "last less first" },
      { key: "since", title: "below the first from epoch", digits: 0 },
    ],
    rows,
    groupBy: "dataset",
    note: "Means over the seeds, on every third test picture. The last column is empty where accuracy comes back to that of the first epoch.",
  };
}

/** Differences between two methods after the given epochs, with intervals over datasets and seeds. */
export function differencesByEpoch(runs: Run[], ours: Labelled, theirs: Labelled, epochs: number[]): Table {
  const runsOf = (method: Labelled) => runs.filter((run) => run.method === method.name);
  const available = epochsOf(runsOf(ours));
  const columns = epochs
    .filter((epoch) => available.includes(epoch))
    .map((epoch): Column => ({ key: `${epoch}`, title: `epoch ${epoch}` }));
  const rows = (["base", "novel", "hm"] as const).map((metric) => ({
    accuracy: metric === "hm" ? "HM" : metric,
    ...Object.fromEntries(
      columns.map(({ key }) => [
        key,
        intervalText(
          pairedBootstrap(scoresAt(runsOf(ours), Number(key)), scoresAt(runsOf(theirs), Number(key)), metric),
        ),
      ]),
    ),
  }));
  return {
    title: `${ours.title} \u2212 ${theirs.title} on the way`,
    columns: [{ key: "accuracy", title: "accuracy" }, ...columns],
    rows,
    note: "Percentage points with 95 % intervals (paired bootstrap over datasets and their seeds); * the interval excludes zero.",
  };
}
