/**
 * node bin/in-lab.mjs http://127.0.0.1:8888/?token=... [notebook.ipynb ...]: opens notebooks (default: all) in
 * the JupyterLab that runs at this address, on this machine, in a headless Chromium, does Run > Run All Cells, waits for
 * the last cell, and prints for each its seconds, the peak memory of its kernel, and its errors. No notebook is saved.
 * The exit status is 1 if a cell failed.
 */
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import chromium from "@sparticuz/chromium";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const playwright = createRequire(join(root, "package.json"))("playwright-core");
const limit = 900_000; // milliseconds of one notebook

const [address, ...wanted] = process.argv.slice(2);
if (!address?.startsWith("http")) {
  console.error("usage: node bin/in-lab.mjs http://127.0.0.1:8888/?token=... [notebook.ipynb ...]");
  process.exit(2);
}
const server = new URL(address);
const token = server.searchParams.get("token") ?? "";
const all = readdirSync(join(root, "notebooks")).filter((name) => name.endsWith(".ipynb"));
const names = wanted.length > 0 ? wanted.map((name) => name.replace(/^.*\//, "")) : all.sort();

const request = (path, options = {}) =>
  fetch(new URL(path, server), { ...options, headers: { authorization: `token ${token}` } });

/** Peak resident memory in MB of the kernel with this id, the process whose command line names its connection file. */
function peakMemory(kernel) {
  for (const process of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${process}/cmdline`, "utf8").includes(`kernel-${kernel}.json`)) continue;
      return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${process}/status`, "utf8"))[1]) / 1024;
    } catch {} // a process that ended in the meantime
  }
  return Number.NaN;
}

/** Counts the messages between the page and its kernel, and keeps the errors. */
function watchKernel(page) {
  const seen = { connected: false, asked: 0, answered: 0, lastAnswer: Number.NaN, errors: [] };
  page.on("websocket", (socket) => {
    if (!socket.url().includes("/channels")) return;
    const typeOf = (payload) => /"msg_type": ?"(\w+)"/.exec(payload.toString())?.[1];
    socket.on("framesent", ({ payload }) => {
      if (typeOf(payload) === "execute_request") seen.asked++;
    });
    socket.on("framereceived", ({ payload }) => {
      const type = typeOf(payload);
      if (type === "history_reply") seen.connected = true; // the last request of a page that connects
      if (type === "execute_reply") Object.assign(seen, { answered: seen.answered + 1, lastAnswer: Date.now() });
      if (type === "error")
        seen.errors.push(/"evalue": ?"((?:[^"\\]|\\.)*)"/.exec(payload.toString())?.[1] ?? "an error");
    });
  });
  return seen;
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function runAll(name) {
  // One browser for each: the packed Chromium is one process, which ends with its page.
  const browser = await playwright.chromium.launch({
    executablePath: process.env.PROMPTSRC_BROWSER || (await chromium.executablePath()),
    args: [...chromium.args, "--no-sandbox"],
  });
  const page = await browser.newPage({ viewport: { width: 1150, height: 1200 } });
  const seen = watchKernel(page);
  // JupyterLab saves by itself from time to time.
  await page.route("**/api/contents/**", (route) =>
    route.request().method() === "PUT" ? route.abort() : route.continue(),
  );
  await page.goto(new URL(`lab/workspaces/run-${Date.now()}/tree/notebooks/${name}?token=${token}&reset`, server).href);
  await page.locator(".jp-Notebook .jp-CodeCell").first().waitFor({ timeout: 60_000 });
  for (let tries = 0; tries < 120 && !seen.connected; tries++) await sleep(500);
  let start = Date.now();
  // The menu does nothing while JupyterLab still gets ready.
  for (let tries = 0; tries < 10 && seen.asked === 0; tries++) {
    await page.keyboard.press("Escape"); // closes a menu that a former try left open
    start = Date.now();
    await page.click('li.lm-MenuBar-item:has-text("Run")');
    await page.click('li.lm-Menu-item[data-command="runmenu:run-all"]');
    await sleep(3_000);
  }
  // JupyterLab sends all cells at once; a figure in the page may be drawn a little after the last answer.
  for (let quiet = 0; quiet < 4 && seen.asked > 0 && Date.now() - start < limit; await sleep(500))
    quiet = seen.answered >= seen.asked ? quiet + 1 : 0;
  const seconds = (seen.lastAnswer - start) / 1000;
  const sessions = await (await request("api/sessions")).json();
  const session = sessions.find(({ path }) => path.endsWith(name));
  const memory = session ? peakMemory(session.kernel.id) : Number.NaN;
  await browser.close();
  if (session) await request(`api/sessions/${session.id}`, { method: "DELETE" });
  if (seen.asked === 0) seen.errors.push("no cell was run");
  const errors = seen.answered < seen.asked ? [...seen.errors, `not finished after ${limit / 1000} s`] : seen.errors;
  return { name, cells: seen.answered, seconds, memory, errors };
}

console.log("| notebook | cells | seconds | peak memory | errors |\n| --- | ---: | ---: | ---: | --- |");
let failed = false;
for (const name of names) {
  const { cells, seconds, memory, errors } = await runAll(name);
  failed ||= errors.length > 0;
  console.log(
    `| ${name} | ${cells} | ${seconds.toFixed(1)} | ${memory.toFixed(0)} MB | ${errors.join("; ") || "none"} |`,
  );
}
process.exit(failed ? 1 : 0);
