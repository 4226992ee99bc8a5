#!/usr/bin/env node
/**
 * The Jupyter kernel of the notebooks. It is tslab's kernel, started in the root of the clone, and adds what tslab
 * lacks:
 * - Any number of outputs in one tick of the event loop. Because of zeromq's high-water mark, tslab itself loses all
 *   outputs after 512, and the cell hangs.
 * - `error` messages with short tracebacks, `execute_input`, `aborted` replies, `stop_on_error`, and a correct
 *   `comm_info_reply`.
 * - Interrupts. Synchronous code stops at once. An asynchronous cell that listens to the process event "SIGINT" (as
 *   src/notebook does) has three seconds to end by itself; then it is abandoned. A second interrupt abandons it at
 *   once.
 * - The first cell says how the kernel before ended, if that was not on request (lastKernel.cjs).
 * - The kernel exits on request, and when the Jupyter server that started it has exited.
 */
const { EventEmitter } = require("node:events");
const path = require("node:path");
const zmq = require("zeromq");
zmq.Publisher = class extends zmq.Publisher {
  constructor() {
    super({ sendTimeout: 0, sendHighWaterMark: 0 });
  }
};
const { createSession, exitProcess } = require("./cells.cjs");
const { startMark } = require("./lastKernel.cjs");
const jupyter = require("tslab/dist/jupyter.js");
const ts = require("./compiler.cjs");

const graceMs = 3_000;
const collectMs = 100; // in this time, this many printed texts are sent at once, and the others together at its end
const directLines = 20;
const abortMs = 200; // for this long after a failed cell, execute requests that Jupyter has already sent are aborted
const session = createSession();
const { outOfMemoryKills } = require(path.join(path.dirname(__dirname), ".kernel", "src", "util", "memory.js"));
let before = startMark(process.argv[2], outOfMemoryKills); // what the first cell says of the kernel before
const cellListeners = new EventEmitter();
let running = false;
let uncaught; // the first error that escaped the running cell: in a timer, or after a forgotten await
let count = 0;
let abandonTimer; // set while an interrupt waits for the cell to end by itself

/**
 * Answers all requests except execute requests. Messages about widgets or debugging get no reply, which Jupyter takes to
 * mean that they are not supported.
 */
class Handler extends jupyter.JupyterHandlerImpl {
  handleKernel() {
    const info = super.handleKernel();
    info.language_info.version = ts.version;
    return { ...info, status: "ok", banner: `PromptSRC kit: TypeScript ${ts.version}, Node ${process.version}` };
  }
}
const answeredTypes = ["kernel_info", "execute", "is_complete", "inspect", "complete", "comm_info", "shutdown"].map(
  (name) => `${name}_request`,
);

class Server extends jupyter.ZmqServer {
  last = Promise.resolve(); // promise of the cell that was queued last
  aborting = false;

  async handleShellMessage(socket, ...parts) {
    const header = parts.findIndex((part) => part.toString() === "<IDS|MSG>") + 2; // delimiter, signature, header
    const { msg_type: type } = JSON.parse(parts[header].toString());
    if (answeredTypes.includes(type)) await super.handleShellMessage(socket, ...parts);
    if (type === "history_request") await this.answerHistory(socket, parts);
  }

  /** A client's first request is for this. tslab does not export its class of messages. */
  handleKernelInfo(socket, message) {
    this.Message = message.constructor;
    super.handleKernelInfo(socket, message);
  }

  /** There is no history. JupyterLab asks for it when it connects, and shows a kernel as "Unknown" until it is answered. */
  async answerHistory(socket, parts) {
    await this.last;
    const message = this.Message.fromRaw(this.connInfo.key, parts);
    this.publishStatus("busy", message);
    this.send(socket, message, "history_reply", { status: "ok", history: [] });
    this.publishStatus("idle", message);
  }

  send(socket, message, type, content) {
    if (type !== "stream") this.flush(); // what was printed before comes before
    const reply = message.createReply();
    reply.header.msg_type = type;
    reply.content = content;
    reply.signAndSend(this.connInfo.key, socket);
  }

  /**
   * Prints a text below the cell. Every message makes JupyterLab draw the output anew, which takes it minutes for 5,000
   * lines; so after the first ones, texts are collected for a moment.
   */
  print(message, name, text) {
    if (this.printed?.message !== message || this.printed.name !== name) {
      this.flush();
      this.printed = { message, name, text: "", sent: 0, since: performance.now() };
    }
    const { printed } = this;
    printed.text += text;
    const isLate = performance.now() - printed.since > collectMs;
    if (isLate || printed.sent < directLines) this.flush();
    else printed.timer ??= setTimeout(() => this.flush(), collectMs);
    if (isLate) Object.assign(printed, { sent: 0, since: performance.now() });
  }

  /** Sends what is collected. */
  flush() {
    const { printed } = this;
    if (!printed || printed.text === "") return;
    clearTimeout(printed.timer);
    const { message, name, text } = printed;
    Object.assign(printed, { text: "", sent: printed.sent + 1, timer: undefined });
    this.send(this.iopub, message, "stream", { name, text });
  }

  /** Queues the cell. Its `execute_reply` is sent after it has run. */
  handleExecute(socket, message) {
    this.last = this.last.then(async () => {
      const reply = this.aborting ? { status: "aborted" } : await this.runCell(message);
      this.send(socket, message, "execute_reply", reply);
    });
    return this.last;
  }

  async runCell(message) {
    const { code, silent, stop_on_error } = message.content;
    if (!silent) this.send(this.iopub, message, "execute_input", { code, execution_count: ++count });
    for (const name of ["stdout", "stderr"]) {
      process[name].write = (text, encoding, callback) => {
        this.print(message, name, typeof text === "string" ? text : new TextDecoder().decode(text));
        (typeof encoding === "function" ? encoding : callback)?.();
        return true;
      };
    }
    jupyter.lastWriteDisplayData = (content, update) =>
      this.send(this.iopub, message, update ? "update_display_data" : "display_data", content);
    if (before) console.error(before);
    before = undefined;
    running = true;
    uncaught = undefined;
    let failure = await session.execute(code);
    await new Promise(setImmediate); // Node reports rejections that nobody handled after the current tick
    failure ??= uncaught;
    running = false;
    clearTimeout(abandonTimer);
    abandonTimer = undefined;
    if (!failure) return { status: "ok", execution_count: count, payload: [], user_expressions: {} };
    this.send(this.iopub, message, "error", failure);
    if (stop_on_error !== false) {
      this.aborting = true;
      setTimeout(() => {
        this.aborting = false;
      }, abortMs);
    }
    return { status: "error", execution_count: count, ...failure };
  }

  handleCommInfoRequest(socket, message) {
    this.send(socket, message, "comm_info_reply", { status: "ok", comms: {} });
  }

  close() {
    super.close();
    setTimeout(() => exitProcess(0), 200); // also ends a training loop that is still running
  }
}

function interrupt() {
  if (!running) return;
  const hasListener = cellListeners.emit("SIGINT", "SIGINT");
  const wait = hasListener && abandonTimer === undefined ? graceMs : 0;
  clearTimeout(abandonTimer);
  abandonTimer = setTimeout(() => session.interrupt(), wait);
}
process.on("SIGINT", interrupt);

// While synchronous code runs, Node itself handles SIGINT and restores the listeners afterwards. A listener that the
// code added in the meantime would leave the signal at its default action, which ends the process. So the listeners of
// the cells are stored separately, and `interrupt` calls them.
for (const name of ["on", "once", "addListener", "prependListener", "prependOnceListener", "off", "removeListener"]) {
  const original = process[name].bind(process);
  process[name] = (event, listener) => {
    if (event !== "SIGINT" || listener === interrupt) return original(event, listener);
    cellListeners[name](event, listener);
    return process;
  };
}

/** An error that nobody caught is one of the running cell; between cells it is printed. The kernel goes on. */
function report(value) {
  const failure = session.describe(value);
  if (running) uncaught ??= failure;
  else console.error(failure.traceback.join("\n"));
}
process.on("uncaughtException", report);
process.on("unhandledRejection", report);

if (process.env.JPY_PARENT_PID) {
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || exitProcess(0), 1_000).unref();
}

new Server(new Handler(session, false), process.argv[2]).init();
