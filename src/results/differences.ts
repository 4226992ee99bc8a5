/** Tables of differences between methods, with confidence intervals. */
import { type Interval, pairedBootstrap } from "./statistics";
import { type Labelled, type MethodScore, signed, type Table, type Value } from "./table";

/** Up to this many pairs of runs are too few for an interval. */
const tooFewPairs = 3;

/**
 * `+2.7 [+2.0, +3.4]`: the difference and its 95 % interval, with a star if the interval excludes zero. With 3 pairs
 * of runs or fewer, no interval is given.
 */
export function intervalText({ mean, low, high, pairs }: Interval): string {
  const [meanText, lowText, highText] = [mean, low, high].map((value) => signed(value, 1));
  return pairs <= tooFewPairs ? meanText : `${meanText} [${lowText}, ${highText}]${low > 0 || high < 0 ? " *" : ""}`;
}

export type Compared = { title: string; scores: MethodScore[]; metric: "base" | "novel" | "hm" };

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
  const rows = pairs.map(({ first, second }) => {
    const cells = compared.map((column): [string, Value] => {
      const [a, b] = [first, second].map((method) => column.scores.filter((s) => s.method === method.name));
      const hasPairs = a.some((s) => b.some((t) => t.dataset === s.dataset && t.seed === s.seed));
      return [column.title, hasPairs ? intervalText(pairedBootstrap(a, b, column.metric)) : undefined];
    });
    return { pair: `${first.title} \u2212 ${second.title}`, ...Object.fromEntries(cells) };
  });
  const columns = [{ key: "pair", title: "difference" }, ...compared.map(({ title }) => ({ key: title, title }))];
  const note =
    "Percentage points with 95 % intervals (paired bootstrap over the datasets and seeds that both have); * the interval excludes zero.";
  return { title: "Differences between methods", columns, rows, note };
}

/** Differences in base accuracy, novel accuracy and HM. */
export const differencesTable = (scores: MethodScore[], methods: Labelled[], pairs?: Pair[]): Table =>
  differencesOf(
    (["base", "novel", "hm"] as const).map((metric) => ({ title: metric === "hm" ? "HM" : metric, scores, metric })),
    methods,
    pairs,
  );
