#!/usr/bin/env node
/**
 * The Jupyter kernel of the notebooks: tslab's, started in the root of the clone, with what it lacks:
 * - any number of outputs in one tick (stock tslab loses them after 512, and the cell hangs: zeromq's high-water mark);
 * - real `error` messages with short tracebacks, `execute_input`, `aborted` replies, `stop_on_error`, a right `comm_info_reply`;
 * - interrupts: synchronous code stops at once; an asynchronous cell that listens to process "SIGINT" (src/notebook does) has three seconds
 *   to end by itself, then it is given up, and a second interrupt gives it up at once;
 * - it ends when asked, and when the server that started it is gone.
 */
const { EventEmitter } = require("node:events");
const zmq = require("zeromq");
zmq.Publisher = class extends zmq.Publisher {
  constructor() {
    super({ sendTimeout: 0, sendHighWaterMark: 0 });
  }
};
const { createSession } = require("./cells.cjs");
const jupyter = require("tslab/dist/jupyter.js");
const ts = require("@tslab/typescript-for-tslab");

const graceMs = 3_000;
const abortMs = 200; // how long after a failed cell the requests that Jupyter had already sent are turned away
const session = createSession();
const cellListeners = new EventEmitter();
let running = false;
let count = 0;
let givingUp; // timer of an interrupt that waits for the cell to end by itself

/** Answers everything but execute requests; messages about widgets, history or debugging go unanswered, which Jupyter takes for "no". */
class Handler extends jupyter.JupyterHandlerImpl {
  handleKernel() {
    const info = super.handleKernel();
    info.language_info.version = ts.version;
    return { ...info, status: "ok", banner: `PromptSRC kit: TypeScript ${ts.version}, Node ${process.version}` };
  }
}
const answered = ["kernel_info", "execute", "is_complete", "inspect", "complete", "comm_info", "shutdown"].map(
  (name) => `${name}_request`,
);

class Server extends jupyter.ZmqServer {
  last = Promise.resolve(); // the cell that was queued last
  turnedAway = false;

  async handleShellMessage(socket, ...parts) {
    const header = parts.findIndex((part) => part.toString() === "<IDS|MSG>") + 2; // delimiter, signature, header
    if (answered.includes(JSON.parse(parts[header].toString()).msg_type))
      await super.handleShellMessage(socket, ...parts);
  }

  send(socket, message, type, content) {
    const reply = message.createReply();
    reply.header.msg_type = type;
    reply.content = content;
    reply.signAndSend(this.connInfo.key, socket);
  }

  /** Queues the cell; its `execute_reply` is sent when it has run. */
  handleExecute(socket, message) {
    this.last = this.last.then(async () => {
      const reply = this.turnedAway ? { status: "aborted" } : await this.runCell(message);
      this.send(socket, message, "execute_reply", reply);
    });
    return this.last;
  }

  async runCell(message) {
    const { code, silent, stop_on_error } = message.content;
    if (!silent) this.send(this.iopub, message, "execute_input", { code, execution_count: ++count });
    for (const name of ["stdout", "stderr"]) {
      process[name].write = (text, encoding, callback) => {
        this.send(this.iopub, message, "stream", {
          name,
          text: typeof text === "string" ? text : new TextDecoder().decode(text),
        });
        (typeof encoding === "function" ? encoding : callback)?.();
        return true;
      };
    }
    jupyter.lastWriteDisplayData = (content, update) =>
      this.send(this.iopub, message, update ? "update_display_data" : "display_data", content);
    running = true;
    const failure = await session.execute(code);
    running = false;
    clearTimeout(givingUp);
    givingUp = undefined;
    if (!failure) return { status: "ok", execution_count: count, payload: [], user_expressions: {} };
    this.send(this.iopub, message, "error", failure);
    if (stop_on_error !== false) {
      this.turnedAway = true;
      setTimeout(() => {
        this.turnedAway = false;
      }, abortMs);
    }
    return { status: "error", execution_count: count, ...failure };
  }

  handleCommInfoRequest(socket, message) {
    this.send(socket, message, "comm_info_reply", { status: "ok", comms: {} });
  }

  close() {
    super.close();
    setTimeout(() => process.exit(0), 200); // a training loop that still runs ends here
  }
}

function interrupted() {
  if (!running) return;
  const heard = cellListeners.emit("SIGINT", "SIGINT");
  const wait = heard && givingUp === undefined ? graceMs : 0;
  clearTimeout(givingUp);
  givingUp = setTimeout(() => session.interrupt(), wait);
}
process.on("SIGINT", interrupted);

// While synchronous code runs, Node takes SIGINT over and puts the listeners back afterwards; one that the code itself added in between
// would leave the signal at its default, which ends the process. So the cells' listeners are kept apart, and `interrupted` calls them.
for (const name of ["on", "once", "addListener", "prependListener", "prependOnceListener", "off", "removeListener"]) {
  const original = process[name].bind(process);
  process[name] = (event, listener) => {
    if (event !== "SIGINT" || listener === interrupted) return original(event, listener);
    cellListeners[name](event, listener);
    return process;
  };
}

const report = (value) => console.error(session.describe(value).traceback.join("\n"));
process.on("uncaughtException", report);
process.on("unhandledRejection", report);

if (process.env.JPY_PARENT_PID) {
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || process.exit(0), 1_000).unref();
}

new Server(new Handler(session, false), process.argv[2]).init();
