/** Differences between methods with intervals, as a table. */
import { type Interval, pairedBootstrap } from "./statistics";
import type { MethodScore, Named, Table } from "./table";

/** `+2.7 [+2.0, +3.4]`: the difference and its 95 % interval; a star where the interval excludes zero. */
export function intervalText({ mean, low, high }: Interval): string {
  const signed = (value: number) => `${value < 0 ? "\u2212" : "+"}${Math.abs(value).toFixed(1)}`;
  return `${signed(mean)} [${signed(low)}, ${signed(high)}]${low > 0 || high < 0 ? " *" : ""}`;
}

/** Each later method against each earlier one, on the datasets and seeds that both have; rows in percentage points. */
export function differencesTable(scores: MethodScore[], methods: Named[]): Table {
  const of = (method: Named) => scores.filter((s) => s.method === method.name);
  const shown = methods.filter((m) => of(m).length > 0);
  const pairs = shown.flatMap((ours, i) => shown.slice(0, i).map((theirs) => ({ ours, theirs })));
  const rows = pairs.map(({ ours, theirs }) => {
    const [base, novel, hm] = (["base", "novel", "hm"] as const).map((metric) =>
      intervalText(pairedBootstrap(of(ours), of(theirs), metric)),
    );
    return { pair: `${ours.title} \u2212 ${theirs.title}`, base, novel, hm };
  });
  const columns = [
    { key: "pair", title: "difference" },
    { key: "base", title: "base" },
    { key: "novel", title: "novel" },
    { key: "hm", title: "HM" },
  ];
  const note = "Percentage points with 95 % intervals (paired bootstrap over datasets and their seeds); * the interval excludes zero.";
  return { title: "Differences between methods", columns, rows, note };
}
