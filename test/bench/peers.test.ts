/** The peers of the bench: their jobs, and the table that shows them beside the kit. */
import { expect, it } from "vitest";
import { plan } from "../../bench/plan";
import { lossDifferences, recordsOf } from "../../bench/records";
import { type BenchFile, type Measured, peers, type Where } from "../../src/results/benchFile";
import { peersTable } from "../../src/results/benchTables";

it("the kit measures each job before its peers do, since it writes their inputs", () => {
  const jobs = plan(["peers"], { quick: false, peer: true });
  const seen = new Set<string>();
  for (const { where, job } of jobs) {
    if (where === "ours") seen.add(JSON.stringify(job));
    else expect(seen).toContain(JSON.stringify(job));
  }
  expect(new Set(jobs.map(({ where }) => where))).toEqual(new Set(["ours", ...peers]));
  expect(plan(["peers"], { quick: false, peer: false }).every(({ where }) => where === "ours")).toBe(true);
});

it("the table and the losses compare the kit with every peer", () => {
  const job = { what: "step", model: "ViT-B/16", classes: 50, batch: 4, depth: 9, nameTokens: "mixed" } as const;
  const measured = (where: Where, seconds: number, peakBytes: number, loss: number): Measured => ({
    where,
    job,
    outcome: {
      phases: [{ phase: "step", seconds, fastest: seconds, slowest: seconds, repeats: 5 }],
      peakBytes,
      threads: 2,
      versions: {},
      losses: { total: loss },
    },
    busy: 0,
    finished: "",
  });
  const all = [
    measured("ours", 2, 1e9, 4),
    measured("pytorch", 8, 4e9, 4),
    measured("pytorch-tuned", 3, 2e9, 4),
    measured("pytorch-tuned-bf16", 1, 2e9, 5),
  ];
  const { rows } = peersTable({ records: all.flatMap(recordsOf) } as BenchFile);
  expect(rows.map(({ faster, share }) => [faster, share])).toEqual([
    [1, 1],
    [4, 0.25],
    [1.5, 0.5],
    [0.5, 0.5],
  ]);
  expect(lossDifferences(all).map(({ peer, difference }) => [peer, difference])).toEqual([
    ["pytorch", 0],
    ["pytorch-tuned", 0],
    ["pytorch-tuned-bf16", 0.2],
  ]);
});
