/**
 * How the kernel before this one ended. Jupyter starts a kernel that died again, with the same connection file, and says
 * only that it died. So a kernel leaves a mark beside this file while it lives, and Node a report where memory of
 * JavaScript runs out; the next kernel reads both.
 */
const { existsSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const path = require("node:path");

/**
 * Leaves the mark of this kernel, which is taken away when it ends in an orderly way.
 * @param outOfMemoryKills how many processes the operating system has ended so far because memory ran out
 * @returns a sentence on the end of the kernel before; undefined if there was none, or it was told to end
 */
exports.startMark = function startMark(connectionFile, outOfMemoryKills) {
  const mark = `${connectionFile}.running`;
  const report = `${connectionFile}.report`;
  const before = existsSync(mark) ? endText(read(mark), read(report), outOfMemoryKills()) : undefined;
  rmSync(report, { force: true });
  writeFileSync(mark, JSON.stringify({ pid: process.pid, kills: outOfMemoryKills() }));
  process.on("exit", () => rmSync(mark, { force: true }));
  Object.assign(process.report, {
    reportOnFatalError: true,
    directory: path.dirname(report),
    filename: path.basename(report),
    compact: true,
  });
  return before;
};

function read(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

function endText(mark, report, kills) {
  const outOfMemory = mark && (kills.group > mark.kills.group || kills.machine > mark.kills.machine);
  const reason = report
    ? `Node stopped it (${report.header.event})`
    : outOfMemory
      ? "the operating system has ended processes since it began because memory ran out, probably this one"
      : "it was killed (a restart does so with a kernel that is busy), or native code crashed; the terminal of Jupyter may say more";
  return `The kernel before this one (process ${mark?.pid}) ended in the middle: ${reason}.
Its variables are gone: run the cells from the top. Runs that were stored are found again, and a training goes on after its last finished epoch.`;
}
