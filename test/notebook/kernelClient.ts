/**
 * A small Jupyter client for tests. It starts bin/kernel.cjs and communicates by zeromq in Jupyter's wire protocol
 * (version 5.3; see "Messaging in Jupyter" in the documentation of jupyter-client).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Dealer, Subscriber } from "zeromq";
import { temporaryFolder } from "../temporary";

export type Message = { type: string; parent: string; content: any };
export type Kernel = {
  child: ChildProcess;
  /** Folder of the connection file. */
  folder: string;
  /** Sends a request on the shell channel. @returns the id of the request */
  send(type: string, content: object): string;
  /** All messages received so far. */
  messages: Message[];
  /** Waits for the request's reply and its `idle` status. @returns all messages of the request in order of arrival */
  finished(id: string): Promise<Message[]>;
  /** Waits until a cell prints the text; what was printed before the call does not count. */
  printed(text: string): Promise<void>;
  run(code: string, options?: object): Promise<Message[]>;
  interrupt(): void;
  stop(): void;
};

/** @param folder where the connection file lies: that of a kernel that ended, to start it again as Jupyter does */
export async function startKernel(cwd: string, folder = temporaryFolder("kernel")): Promise<Kernel> {
  const [shell_port, iopub_port, stdin_port, control_port, hb_port] = await freePorts(5);
  const key = randomUUID();
  const connection = {
    ip: "127.0.0.1",
    transport: "tcp",
    key,
    signature_scheme: "hmac-sha256",
    shell_port,
    iopub_port,
    stdin_port,
    control_port,
    hb_port,
  };
  const file = join(folder, "connection.json");
  writeFileSync(file, JSON.stringify(connection));
  // As in Jupyter, the working directory is the folder of the notebook.
  const child = spawn(process.execPath, [join(process.cwd(), "bin", "kernel.cjs"), file], {
    cwd,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const session = randomUUID();
  const shell = new Dealer({ routingId: session });
  const iopub = new Subscriber({ receiveHighWaterMark: 0 });
  shell.connect(`tcp://127.0.0.1:${shell_port}`);
  iopub.connect(`tcp://127.0.0.1:${iopub_port}`);
  iopub.subscribe();

  const messages: Message[] = [];
  const receive = async (socket: Dealer | Subscriber) => {
    for await (const parts of socket) {
      const start = parts.findIndex((part) => part.toString() === "<IDS|MSG>");
      const [header, parent, , content] = parts.slice(start + 2).map((part) => JSON.parse(part.toString()));
      messages.push({ type: header.msg_type, parent: parent.msg_id, content });
    }
  };
  receive(shell);
  receive(iopub);

  const send = (type: string, content: object): string => {
    const id = randomUUID();
    const header = {
      msg_id: id,
      msg_type: type,
      session,
      username: "test",
      date: new Date().toISOString(),
      version: "5.3",
    };
    const bodies = [header, {}, {}, content].map((part) => JSON.stringify(part));
    const signature = createHmac("sha256", key).update(bodies.join("")).digest("hex");
    void shell.send(["<IDS|MSG>", signature, ...bodies]);
    return id;
  };
  const checkAlive = () => {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`the kernel ended: ${child.exitCode ?? child.signalCode}`);
  };
  const printed = async (text: string) => {
    const from = messages.length;
    while (!messages.slice(from).some(({ type, content }) => type === "stream" && content.text.includes(text))) {
      checkAlive();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const finished = async (id: string): Promise<Message[]> => {
    for (;;) {
      const ofRequest = messages.filter((message) => message.parent === id);
      const idle = ofRequest.some(({ type, content }) => type === "status" && content.execution_state === "idle");
      if (idle && ofRequest.some(({ type }) => type.endsWith("_reply"))) return ofRequest;
      checkAlive();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const kernel: Kernel = {
    child,
    folder,
    send,
    messages,
    finished,
    printed,
    run: (code, options = {}) =>
      finished(send("execute_request", { code, silent: false, store_history: true, stop_on_error: true, ...options })),
    interrupt: () => child.kill("SIGINT"),
    stop: () => {
      shell.close();
      iopub.close();
      child.kill("SIGKILL");
    },
  };
  // The first messages can be sent before the subscription is active, so the request is repeated until its reply and
  // its status message have both arrived.
  for (let ready = false; !ready; ) {
    const answer = finished(send("kernel_info_request", {})).then(() => true);
    ready = await Promise.race([answer, new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 1_000))]);
  }
  return kernel;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await new Promise((resolve) => server.once("listening", resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
