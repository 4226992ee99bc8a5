/** Tables of differences between methods, with confidence intervals. */
import { type Interval, pairedBootstrap } from "./bootstrap";
import { holm } from "./significance";
import type { Metric } from "./statistics";
import { type Labelled, type MethodScore, signed, type Table, type Value } from "./table";

/** Up to this many pairs of runs are too few for an interval and a test. */
const tooFewPairs = 3;

/** An interval with its p-value after a correction for several comparisons, if it has enough pairs for a test. */
type Corrected = Interval & { corrected?: number };

/** Intervals with Holm's correction over all of them that have enough pairs; a missing one stays missing. */
export function withHolm(intervals: (Interval | undefined)[]): (Corrected | undefined)[] {
  const tested = intervals.filter((interval) => interval !== undefined && interval.pairs > tooFewPairs);
  const corrected = holm(tested.flatMap((interval) => interval?.p ?? []));
  return intervals.map((interval) => interval && { ...interval, corrected: corrected[tested.indexOf(interval)] });
}

/** Whether a difference is told from zero at 5 %. */
export const differs = ({ corrected }: Corrected): boolean => corrected !== undefined && corrected < 0.05;

/**
 * `+2.7 [+2.0, +3.4] *`: the difference and its 95 % interval, with a star if it `isCertain`: by default, if the
 * interval excludes zero. With 3 pairs of runs or fewer, no interval is given.
 */
export function intervalText(interval: Interval, isCertain = interval.low > 0 || interval.high < 0): string {
  const [mean, low, high] = [interval.mean, interval.low, interval.high].map((value) => signed(value, 1));
  return interval.pairs <= tooFewPairs ? mean : `${mean} [${low}, ${high}]${isCertain ? " *" : ""}`;
}

type Compared = { title: string; scores: MethodScore[]; metric: Metric };

/** Up to this many methods, every pair is compared; of more methods, one is compared with all the others. */
const maxAllPairs = 4;

/** Names of two methods: the second is subtracted from the first. */
export type Pair = [ours: string, theirs: string];

/**
 * Differences in percentage points, with a column for each of `compared`, over the datasets and seeds that both
 * methods have. The rows are the pairs in `given`. Without `given`, they are all pairs (later minus earlier method); if
 * there are more than 4 methods, PromptSRC, or the last method if PromptSRC is missing, is compared with each of the
 * others.
 */
export function differencesOf(compared: Compared[], methods: Labelled[], given?: Pair[]): Table {
  const hasScores = (method: Labelled, { scores }: Compared) => scores.some((s) => s.method === method.name);
  const available = methods.filter((method) => compared.some((column) => hasScores(method, column)));
  const reference = available.find((method) => method.name === "promptsrc") ?? available[available.length - 1];
  const withName = (name: string) => available.filter((method) => method.name === name);
  const pairs = given
    ? given.flatMap(([a, b]) => withName(a).flatMap((first) => withName(b).map((second) => ({ first, second }))))
    : available.length <= maxAllPairs
      ? available.flatMap((first, i) => available.slice(0, i).map((second) => ({ first, second })))
      : available.filter((method) => method !== reference).map((second) => ({ first: reference, second }));
  const cells = compared.map((column): Value[] => {
    const intervals = pairs.map(({ first, second }) => {
      const [a, b] = [first, second].map((method) => column.scores.filter((s) => s.method === method.name));
      const hasPairs = a.some((s) => b.some((t) => t.dataset === s.dataset && t.seed === s.seed));
      return hasPairs ? pairedBootstrap(a, b, column.metric) : undefined;
    });
    return withHolm(intervals).map((difference) => difference && intervalText(difference, differs(difference)));
  });
  const rows = pairs.map(({ first, second }, row) => ({
    pair: `${first.title} \u2212 ${second.title}`,
    ...Object.fromEntries(compared.map(({ title }, column) => [title, cells[column][row]])),
  }));
  const columns = [{ key: "pair", title: "difference" }, ...compared.map(({ title }) => ({ key: title, title }))];
  return { title: "Differences between methods", columns, rows, note: differencesNote(pairs.length) };
}

/** What intervals and stars of differences mean, for so many comparisons. */
const differencesNote = (comparisons: number): string =>
  "Percentage points with 95 % intervals (paired bootstrap over the datasets and seeds that both have); * differs from " +
  `zero at 5 %${comparisons > 1 ? `, after Holm's correction for the ${comparisons} comparisons of a column` : ""}.`;

/** Differences in base accuracy, novel accuracy and HM. */
export const differencesTable = (scores: MethodScore[], methods: Labelled[], pairs?: Pair[]): Table =>
  differencesOf(
    (["base", "novel", "hm"] as const).map((metric) => ({ title: metric === "hm" ? "HM" : metric, scores, metric })),
    methods,
    pairs,
  );
