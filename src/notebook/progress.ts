/** The progress line of a notebook cell: one output that is overwritten in place. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { type Meter, meter, type Screen, terminalScreen } from "../experiments/progress";

type Display = { text(line: string): void };

/**
 * Progress display for the calling cell: finished lines stay above the line that is updated. Outside a notebook,
 * progress is written to standard error.
 */
export function notebookProgress(): Meter {
  const requireModule = createRequire(join(process.cwd(), "package.json"));
  if (!(requireModule("tslab/dist/jupyter.js") as { lastWriteDisplayData?: unknown }).lastWriteDisplayData)
    return meter(terminalScreen());
  const display = (requireModule("tslab") as { newDisplay(): Display }).newDisplay();
  const finishedLines: string[] = [];
  const redraw = (line?: string) => display.text([...finishedLines, ...(line ? [line] : [])].join("\n"));
  const screen: Screen = {
    update: redraw,
    print(line) {
      finishedLines.push(line);
      redraw();
    },
    clear: () => redraw(),
  };
  return meter(screen);
}
