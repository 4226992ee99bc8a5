/** From accuracies after every epoch: what is gained and lost since the first, and from when on. */
import { intervalText } from "./differences";
import { comparable, type Interval, pairedBootstrap, type Score, summarise } from "./statistics";
import { type Run, settingOf } from "./store";
import type { Column, Labelled, Table } from "./table";

/** Of an unfinished grid, the runs on datasets and seeds that all methods have. */
export const comparableRuns = (runs: Run[]): Run[] =>
  comparable(runs.map((run) => ({ ...run, base: run.metrics.base, novel: run.metrics.novel })));

const scoresAt = (runs: Run[], epoch: number): Score[] =>
  runs.flatMap((run) => {
    const metrics = run.epochs.find((e) => e.epoch === epoch)?.metrics;
    const { dataset, seed } = run;
    return metrics ? [{ dataset, seed, base: metrics.base, novel: metrics.novel, setting: settingOf(run) }] : [];
  });

const epochsOf = (runs: Run[]): number[] => (runs[0]?.epochs ?? []).filter((e) => e.metrics).map((e) => e.epoch);

/** Draws of the bootstrap for one point of a line: the ends of its interval are then good to a tenth of its length. */
const draws = 1000;

export type Change = { epoch: number; base: Interval; novel: Interval };

/**
 * Accuracy after each epoch less that after the first, which runs at the warm-up's rate and leaves the prompts as they started; mean and
 * 95 % interval over datasets and seeds. All on the same pictures. @throws where the runs hold no accuracy per epoch
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

/** Where forgetting sets in, by dataset: novel accuracy at the start, at its best and at the end, and the epoch from which it stays below the start. */
export function forgettingTable(runs: Run[], methods: Labelled[]): Table {
  const datasets = [...new Set(runs.map((run) => run.dataset))];
  const rows = datasets.flatMap((dataset) =>
    methods.flatMap((method) => {
      const own = runs.filter((run) => run.dataset === dataset && run.method === method.name);
      const novel = epochsOf(own).map((epoch) => ({ epoch, value: summarise(scoresAt(own, epoch)).novel.mean }));
      if (novel.length === 0) return [];
      const [start, end] = [novel[0], novel[novel.length - 1]];
      const best = novel.reduce((a, b) => (b.value > a.value ? b : a));
      const below = novel.filter(({ value }) => value >= start.value).pop()?.epoch ?? start.epoch;
      return [
        {
          dataset,
          method: method.title,
          start: start.value,
          best: best.value,
          at: best.epoch,
          end: end.value,
          change: end.value - start.value,
          since: below < end.epoch ? below + 1 : undefined,
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

/** Differences between two methods after some of the epochs, with intervals over datasets and seeds. */
export function differencesByEpoch(runs: Run[], ours: Labelled, theirs: Labelled, epochs: number[]): Table {
  const of = (method: Labelled) => runs.filter((run) => run.method === method.name);
  const has = epochsOf(of(ours));
  const columns = epochs
    .filter((epoch) => has.includes(epoch))
    .map((epoch): Column => ({ key: `${epoch}`, title: `epoch ${epoch}` }));
  const rows = (["base", "novel", "hm"] as const).map((metric) => ({
    accuracy: metric === "hm" ? "HM" : metric,
    ...Object.fromEntries(
      columns.map(({ key }) => [
        key,
        intervalText(pairedBootstrap(scoresAt(of(ours), Number(key)), scoresAt(of(theirs), Number(key)), metric)),
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
