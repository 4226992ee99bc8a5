/** The progress line of a notebook cell: one output that is overwritten in place. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { type Meter, meter, type Screen, terminalScreen } from "../experiments/progress";

type Display = { text(line: string): void };

/** Progress for the cell that calls this: finished lines stay above the line that moves. Outside a notebook it goes to standard error. */
export function notebookProgress(): Meter {
  const load = createRequire(join(process.cwd(), "package.json"));
  if (!(load("tslab/dist/jupyter.js") as { lastWriteDisplayData?: unknown }).lastWriteDisplayData)
    return meter(terminalScreen());
  const display = (load("tslab") as { newDisplay(): Display }).newDisplay();
  const said: string[] = [];
  const draw = (line?: string) => display.text([...said, ...(line ? [line] : [])].join("\n"));
  const screen: Screen = {
    update: draw,
    print(line) {
      said.push(line);
      draw();
    },
    clear: () => draw(),
  };
  return meter(screen);
}
