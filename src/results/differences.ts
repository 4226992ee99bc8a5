/** Differences between methods with intervals, as a table. */
import { type Interval, pairedBootstrap } from "./statistics";
import { type Labelled, type MethodScore, signed, type Table, type Value } from "./table";

/** So many pairs of runs are too few for an interval. */
const tooFew = 3;

/** `+2.7 [+2.0, +3.4]`: the difference and its 95 % interval; a star where the interval excludes zero. Few pairs have no interval. */
export function intervalText({ mean, low, high, pairs }: Interval): string {
  const [middle, from, to] = [mean, low, high].map((value) => signed(value, 1));
  return pairs <= tooFew ? middle : `${middle} [${from}, ${to}]${low > 0 || high < 0 ? " *" : ""}`;
}

export type Compared = { title: string; scores: MethodScore[]; metric: "base" | "novel" | "hm" };

/** Up to this many methods each is compared with each; more are compared with one. */
const fewMethods = 4;

/** Names of two methods: the second is subtracted from the first. */
export type Pair = [ours: string, theirs: string];

/**
 * The given pairs; else each later method against each earlier one, or, of many methods, PromptSRC (else the last one) against each. A
 * column for each of `compared`, on the datasets and seeds that both have; in percentage points.
 */
export function differencesOf(compared: Compared[], methods: Labelled[], given?: Pair[]): Table {
  const has = (method: Labelled, { scores }: Compared) => scores.some((s) => s.method === method.name);
  const shown = methods.filter((method) => compared.some((column) => has(method, column)));
  const reference = shown.find((method) => method.name === "promptsrc") ?? shown[shown.length - 1];
  const named = (name: string) => shown.filter((method) => method.name === name);
  const pairs = given
    ? given.flatMap(([a, b]) => named(a).flatMap((ours) => named(b).map((theirs) => ({ ours, theirs }))))
    : shown.length <= fewMethods
      ? shown.flatMap((ours, i) => shown.slice(0, i).map((theirs) => ({ ours, theirs })))
      : shown.filter((method) => method !== reference).map((theirs) => ({ ours: reference, theirs }));
  const rows = pairs.map(({ ours, theirs }) => {
    const cells = compared.map((column): [string, Value] => {
      const [a, b] = [ours, theirs].map((method) => column.scores.filter((s) => s.method === method.name));
      const paired = a.some((s) => b.some((t) => t.dataset === s.dataset && t.seed === s.seed));
      return [column.title, paired ? intervalText(pairedBootstrap(a, b, column.metric)) : undefined];
    });
    return { pair: `${ours.title} \u2212 ${theirs.title}`, ...Object.fromEntries(cells) };
  });
  const columns = [{ key: "pair", title: "difference" }, ...compared.map(({ title }) => ({ key: title, title }))];
  const note =
    "Percentage points with 95 % intervals (paired bootstrap over the datasets and seeds that both have); * the interval excludes zero.";
  return { title: "Differences between methods", columns, rows, note };
}

/** Of base, novel and HM. */
export const differencesTable = (scores: MethodScore[], methods: Labelled[], pairs?: Pair[]): Table =>
  differencesOf(
    (["base", "novel", "hm"] as const).map((metric) => ({ title: metric === "hm" ? "HM" : metric, scores, metric })),
    methods,
    pairs,
  );
