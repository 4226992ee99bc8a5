/** npm run bench: set-up, then PyTorch's environment unless `--no-peer` or `--torch` is given, then bench/bench.ts. */
import { foreground } from "../bin/setup/programs.mjs";
import { path, typescriptLoader } from "../bin/setup/tools.mjs";
import { forRuns, launch, setup } from "../bin/setup.mjs";
import { torchPython } from "./torch.mjs";

await launch(async () => {
  const args = process.argv.slice(2);
  await setup(forRuns);
  const needsTorch =
    !["--no-peer", "--help", "-h"].some((option) => args.includes(option)) &&
    !args.some((arg) => arg.startsWith("--torch"));
  if (needsTorch) {
    const { python, missing } = await torchPython();
    if (missing)
      console.log(`\nPyTorch is not measured, because it cannot be installed on this machine:\n${missing}\n`);
    args.push(...(missing ? ["--no-peer"] : ["--torch", python]));
  }
  return foreground(process.execPath, ["--import", typescriptLoader, path("bench", "bench.ts"), ...args]);
});
