/** The bench of a GPU: its jobs, their commands, and the table of what they measured. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { commandOf, type GpuRecord, gpuJobs, gpuTable } from "../../bench/gpu";

it("the kit's float32 comes first of each shape, since it writes PyTorch's inputs", () => {
  const jobs = gpuJobs({ peer: true, quick: false });
  expect(jobs).toHaveLength(6 * 5);
  for (let k = 0; k < jobs.length; k += 5) expect(jobs[k]).toMatchObject({ where: "ours", precision: "float32" });
  expect(gpuJobs({ peer: false, quick: true }).map(({ where }) => where)).toEqual(Array(6).fill("ours"));
});

it("each job has a command with its device and precision, which peer.py knows", () => {
  const known = readFileSync("bench/peer.py", "utf8");
  for (const planned of gpuJobs({ peer: true, quick: true })) {
    const { args, environment } = commandOf(planned, 4, "python3", "model");
    if (planned.where === "ours") {
      expect(environment).toEqual({ PROMPTSRC_THREADS: "4", PROMPTSRC_TF32: planned.precision === "tf32" ? "1" : "0" });
      continue;
    }
    expect(args.slice(-4)).toEqual(["--device", "cuda", "--precision", planned.precision]);
    expect(known).toContain(`"${planned.precision}"`);
  }
});

it("the table has a row for each number of classes", () => {
  const record = (where: GpuRecord["where"], precision: GpuRecord["precision"], seconds: number): GpuRecord => ({
    where,
    precision,
    what: "step",
    classes: 50,
    phase: "step",
    seconds,
    fastest: seconds,
    slowest: seconds,
    repeats: 10,
    gpuBytes: 2e9,
  });
  const records = [
    record("ours", "float32", 0.1),
    record("pytorch", "float32", 0.2),
    record("pytorch", "autocast", 0.05),
  ];
  const [row, ...rest] = gpuTable(records, "step").rows;
  expect(rest).toEqual([]);
  expect(row).toEqual({
    classes: 50,
    kit: 100,
    kitTf32: undefined,
    peer: 200,
    peerTf32: undefined,
    autocast: 50,
    memory: 2,
    peerMemory: 2,
  });
});

it("without a GPU, it says so in one line", () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    ["--import", "tsx", "bench/bench.ts", "--device", "gpu", "--no-peer"],
    { encoding: "utf8", env: { ...process.env, PATH: "" } },
  );
  expect([status, stderr.trim()]).toEqual([2, "error: --device gpu: nvidia-smi finds no GPU on this machine"]);
});
