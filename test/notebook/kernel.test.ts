import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryFolder } from "../temporary";
import { type Kernel, type Message, startKernel } from "./kernelClient";

let kernel: Kernel;
const folder = temporaryFolder("notebooks");

beforeAll(async () => {
  kernel = await startKernel(folder);
});
afterAll(() => {
  kernel?.stop();
});

const streamed = (messages: Message[], name = "stdout") =>
  messages
    .filter(({ type, content }) => type === "stream" && content.name === name)
    .map(({ content }) => content.text)
    .join("");
const reply = (messages: Message[]) => messages.find(({ type }) => type === "execute_reply")?.content;
const error = (messages: Message[]) => messages.find(({ type }) => type === "error")?.content;

test("kernel_info_reply names the language and its version", async () => {
  const messages = await kernel.finished(kernel.send("kernel_info_request", {}));
  const info = messages.find(({ type }) => type === "kernel_info_reply")?.content;
  expect(info.status).toBe("ok");
  expect(info.language_info).toMatchObject({ name: "typescript", version: "5.0.4" });
});

test("runs cells in the root of the clone, whatever folder Jupyter starts the kernel in", async () => {
  const messages = await kernel.run(
    'import { tf } from "./src/engine/tf";\nconsole.log(process.cwd(), tf.version.tfjs)',
  );
  expect(streamed(messages)).toBe(`${process.cwd()} 4.22.0\n`);
  expect(reply(messages)).toMatchObject({ status: "ok" });
  expect(messages.find(({ type }) => type === "execute_input")?.content.execution_count).toBe(
    reply(messages).execution_count,
  );
});

test("Tab and Shift-Tab know the kit: functions, names and settings; a wrong name is an error before anything runs", async () => {
  await kernel.run('import { ablation, ablations, loadClip, loadDataset, methods } from "./src/kit"');
  const answer = async (type: string, marked: string) => {
    const [cursor_pos, code] = [marked.indexOf("|"), marked.replace("|", "")];
    const messages = await kernel.finished(kernel.send(`${type}_request`, { code, cursor_pos, detail_level: 0 }));
    return messages.find((message) => message.type === `${type}_reply`)?.content;
  };
  const completed = async (code: string) => (await answer("complete", code)).matches;
  const explained = async (code: string) => (await answer("inspect", code)).data["text/plain"];
  expect(await completed("methods.|")).toEqual(expect.arrayContaining(["clip", "maple", "promptsrc"]));
  expect(await completed("ablations.|")).toEqual(expect.arrayContaining(["components", "weights"]));
  expect(await completed('loadDataset("data/|")')).toContain("data/food");
  const study = (change: string) =>
    `ablation({ title: "", clip: null as any, datasets: [], seeds: [1], variants: { a: (config) => (${change}) } })`;
  expect(await completed(study("{ ...config, lr: config.| }"))).toEqual(expect.arrayContaining(["lr", "warmup"]));
  expect(await completed(study("{ ...config, epo| }"))).toEqual(["epochs"]);
  expect(await explained("loadCl|ip")).toContain("Reads a CLIP from a model folder or checkpoint");
  expect(await explained("methods.prompt|src")).toContain("IVLP with the three regularisers");
  expect(await explained(study("{ ...config, lr: config.warm|up.lr }"))).toContain("constant warm-up");
  for (const [code, wanted] of [
    ["console.log(methods.promptsrcc)", "Did you mean 'promptsrc'"],
    ["console.log(ablations.component)", "Did you mean 'components'"],
    ['console.log(methods["promptsrcc"])', "Did you mean 'promptsrc'"],
    [`console.log(${study('{ ...config, consistency: "l2" }')})`, `Type '"l2"' is not assignable`],
  ]) {
    const messages = await kernel.run(code);
    expect(error(messages)).toMatchObject({ ename: "TypeScript", evalue: expect.stringContaining(wanted) });
    expect(streamed(messages)).toBe("");
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
});

test("names in brackets: an object of the cell's own may grow, and those of the kit are all known", async () => {
  const messages = await kernel.run(
    'const row = { a: 1 };\nrow["b"] = 2;\nconst counts = {};\ncounts["x"] = row["b"];\nconsole.log(counts["x"], methods["coop-src"].title, "abc"["length"])',
  );
  expect(streamed(messages)).toBe("2 CoOp + SRC 3\n");
});

test("a type error that takes several lines to explain names its place once", async () => {
  const messages = await kernel.run("const wanted: { variants: number[] } = ablations.components;");
  expect(error(messages).evalue.match(/line 1, column 7/g)).toHaveLength(1);
  expect(error(messages).evalue).toMatch(
    /'Ablation' is not assignable[\s\S]*'Variant' is not assignable to type 'number'/,
  );
  await new Promise((resolve) => setTimeout(resolve, 300));
});

test("5,000 lines printed in one tick arrive in order and in few messages, and the cell ends", async () => {
  const messages = await kernel.run('for (let i = 0; i < 5000; i++) console.log("line", i)');
  expect(streamed(messages)).toBe(Array.from({ length: 5000 }, (_, i) => `line ${i}\n`).join(""));
  expect(messages.filter(({ type }) => type === "stream").length).toBeLessThan(500);
});

test("a failed cell sends an error message with line numbers of the cell and of the sources", async () => {
  const messages = await kernel.run('function deep() {\n  throw new RangeError("too deep");\n}\n\ndeep();');
  expect(error(messages)).toMatchObject({ ename: "RangeError", evalue: "too deep" });
  const traceback = error(messages).traceback.join("\n");
  expect(traceback).toContain("deep (cell, line 2:");
  expect(traceback).toContain("cell, line 5: deep();");
  expect(traceback).not.toMatch(/node:|node_modules|evalmachine/);
  expect(reply(messages)).toMatchObject({ status: "error", ename: "RangeError" });
  await new Promise((resolve) => setTimeout(resolve, 300));

  const source = await kernel.run(
    'import { startEngine } from "./src/engine/tf";\nprocess.env.PROMPTSRC_ENGINE = "abacus";\ntry { await startEngine(); } finally { delete process.env.PROMPTSRC_ENGINE; }',
  );
  expect(error(source).evalue).toContain("native, wasm, cpu");
  expect(error(source).traceback.join("\n")).toMatch(/src\/engine\/tf\.ts:\d+:\d+/);
  await new Promise((resolve) => setTimeout(resolve, 300));
});

test("a type error names line and column, and the cell does not run", async () => {
  const messages = await kernel.run('console.log("ran");\nconst text: string = 3;');
  expect(error(messages)).toMatchObject({ ename: "TypeScript" });
  expect(error(messages).evalue).toContain("line 2, column 7");
  expect(streamed(messages)).toBe("");
  await new Promise((resolve) => setTimeout(resolve, 300));
});

test("a rejection that nobody handles is an error of the cell that made it, and the kernel lives", async () => {
  const messages = await kernel.run(
    'console.log("begun");\nPromise.reject(new RangeError("forgotten"));\nconst after = 1;',
  );
  expect(streamed(messages)).toBe("begun\n");
  expect(error(messages)).toMatchObject({ ename: "RangeError", evalue: "forgotten" });
  expect(error(messages).traceback.join("\n")).toContain("cell, line 2:");
  expect(reply(messages)).toMatchObject({ status: "error" });
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(streamed(await kernel.run('console.log("alive")'))).toBe("alive\n");
});

test("cells queued after a failed one are aborted, unless stop_on_error is false", async () => {
  const [failing, next] = [kernel.run('throw new Error("stop here")'), kernel.run('console.log("not run")')];
  expect(reply(await failing).status).toBe("error");
  expect(reply(await next).status).toBe("aborted");
  await new Promise((resolve) => setTimeout(resolve, 300));
  const [toleratedRun, nextRun] = [
    kernel.run('throw new Error("go on")', { stop_on_error: false }),
    kernel.run('console.log("run")'),
  ];
  expect(reply(await toleratedRun).status).toBe("error");
  expect(streamed(await nextRun)).toBe("run\n");
});

test("an interrupt stops a synchronous cell", async () => {
  const running = kernel.run('console.log("begun");\nfor (;;) {}');
  await kernel.printed("begun");
  kernel.interrupt();
  expect(error(await running)).toMatchObject({ ename: "Interrupted" });
  await new Promise((resolve) => setTimeout(resolve, 300));
});

test("after an interrupt, an asynchronous cell that listens to SIGINT can end by itself", async () => {
  const running = kernel.run(`
    const stop = new AbortController();
    process.once("SIGINT", () => stop.abort());
    let steps = 0;
    // Node can lose an interrupt at the moment when synchronous code ends
    await new Promise((resolve) => setTimeout(resolve, 100));
    console.log("begun");
    while (!stop.signal.aborted) { steps++; await new Promise((resolve) => setTimeout(resolve, 5)); }
    console.log("ended by itself");`);
  await kernel.printed("begun");
  kernel.interrupt();
  const messages = await running;
  expect(reply(messages).status).toBe("ok");
  expect(streamed(messages)).toContain("ended by itself");
});

test("an interrupt abandons an asynchronous cell that does not listen to SIGINT", async () => {
  const running = kernel.run(
    'await new Promise((resolve) => setTimeout(resolve, 100));\nconsole.log("begun");\nawait new Promise(() => {});',
  );
  await kernel.printed("begun");
  kernel.interrupt();
  expect(error(await running)).toMatchObject({ ename: "Interrupted", evalue: "the cell was stopped" });
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(streamed(await kernel.run('console.log("alive")'))).toBe("alive\n");
});

test("a later cell can update a display by its id", async () => {
  const first = await kernel.run(
    'import * as tslab from "tslab";\nconst view = tslab.newDisplay();\nview.text("one");',
  );
  const second = await kernel.run('view.text("two");');
  const created = first.find(({ type }) => type === "display_data")?.content;
  const updated = second.find(({ type }) => type === "update_display_data")?.content;
  expect(updated.transient.display_id).toBe(created.transient.display_id);
  expect(updated.data).toEqual({ "text/plain": "two" });
});

test("a comm_info_request gets a comm_info_reply", async () => {
  const messages = await kernel.finished(kernel.send("comm_info_request", { target_name: "jupyter.widget" }));
  expect(messages.find(({ type }) => type === "comm_info_reply")?.content).toEqual({ status: "ok", comms: {} });
});

test("a history_request is answered, and its status tells JupyterLab that the kernel is idle", async () => {
  const messages = await kernel.finished(kernel.send("history_request", { hist_access_type: "tail", n: 10 }));
  expect(messages.find(({ type }) => type === "history_reply")?.content).toEqual({ status: "ok", history: [] });
});

test("a shutdown_request ends the kernel with exit status 0", async () => {
  const ended = new Promise((resolve) => kernel.child.once("exit", resolve));
  kernel.send("shutdown_request", { restart: false });
  expect(await ended).toBe(0);
});

test("a kernel that is started again says how the one before ended", async () => {
  const killed = await startKernel(folder);
  const ended = new Promise((resolve) => killed.child.once("exit", resolve));
  killed.send("execute_request", { code: 'process.kill(process.pid, "SIGKILL")', silent: false });
  await ended;
  const next = await startKernel(folder, killed.folder);
  expect(streamed(await next.run("1 + 1"), "stderr")).toMatch(
    /^The kernel before this one .* it was killed .*\nIts var/,
  );
  expect(streamed(await next.run("1 + 1"), "stderr")).toBe("");
  for (const one of [next, killed]) one.stop();
});

test("where JavaScript's memory ran out, the next kernel knows", () => {
  const start = (then: string, ...options: string[]) =>
    spawnSync(process.execPath, [
      ...options,
      "-e",
      `const before = require("./bin/lastKernel.cjs").startMark(${JSON.stringify(join(folder, "connection.json"))}, () => ({ group: 0, machine: 0 }));${then}`,
    ]);
  start("const all = []; for (;;) all.push(new Array(1000).fill(all.length));", "--max-old-space-size=20");
  expect(start("console.log(before)").stdout.toString()).toContain("JavaScript heap out of memory");
  expect(start("console.log(before)").stdout.toString()).toBe("undefined\n");
});
