import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { clipTemplates, paperTemplates } from "./src/configs/templates";
import { configJson } from "./src/experiments/trainAndEvaluate";
import { settle } from "./src/methods/method";
import { methods } from "./src/methods/registry";
import { canonical } from "./src/results/store";
const short = (s: string[]) => `${s.length} sentences, ${createHash("sha256").update(JSON.stringify(s)).digest("hex").slice(0, 12)}`;
const lists = new Map<string, string[]>();
for (const l of [clipTemplates, ...[5,10,20,40,60].map(n=>paperTemplates.slice(0,n))]) lists.set(short(l), l);
const un = (v: any) => typeof v === "string" ? (lists.get(v) ?? (() => { throw new Error("unknown list "+v); })()) : v;
export function newConfig(method: string, old: any): any {
  const { init, weights, gpa, templates, zeroshot, ...rest } = old;
  return configJson(settle(methods[method], { ...rest, contextInit: init, lossWeights: weights, ensemble: gpa, textTargetTemplates: un(templates), zeroShotTemplates: un(zeroshot) }));
}
const files = fs.readdirSync("data/results", { recursive: true, encoding: "utf8" }).filter(f => f.endsWith(".json"));
let n = 0; const seen = new Map<string, any>(); let dup = 0, differ = 0;
for (const f of files) {
  const run = JSON.parse(fs.readFileSync(path.join("data/results", f), "utf8"));
  const config = newConfig(run.method, run.config);
  const id = canonical({ ...run, config, key: 0, metrics: 0, epochs: 0, seconds: 0, finished: 0, engine: 0, versions: 0 });
  const before = seen.get(id);
  if (before) { dup++; if (canonical(before.metrics) !== canonical(run.metrics)) { differ++; console.log("DIFFER", f, before.f, run.metrics, before.metrics); } }
  else seen.set(id, { ...run, f });
  n++;
}
console.log(n, seen.size, dup, differ);
