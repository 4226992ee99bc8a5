/** Who listens on a port, for a message. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

/** Whether a port of this machine is taken. */
export const isTaken = (port) =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error) => resolve(error.code === "EADDRINUSE"));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(false)));
  });

/** The process that listens on a port, with its command and folder, as far as this user may know: lsof or ss tell. */
export function listenerOn(port) {
  const pid =
    /^p(\d+)/m.exec(output("lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-Fp"]))?.[1] ??
    /pid=(\d+)/.exec(output("ss", ["-Hltnp", `sport = :${port}`]))?.[1];
  if (pid === undefined) return "a process that cannot be named";
  return `process ${pid}: ${output("ps", ["-o", "args=", "-p", pid]).trim().slice(0, 200) || commandOf(pid)}`;
}

function output(program, args) {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return "";
  }
}

function commandOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return "another user's";
  }
}
