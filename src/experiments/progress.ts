/**
 * Shows the progress of a grid of runs as one line: the current run, its speed, and the time left for the whole grid.
 */

/**
 * The progress of a grid. `work` (done so far) and `total` count images passed through the encoders, weighted by
 * cost, and give the time left. `count` counts the steps or pictures (`unit`) of the current run, named by `place`, and
 * gives the rate.
 */
export type Status = {
  place: string;
  stage: string;
  work: number;
  total: number;
  count: number;
  unit: "steps" | "pictures";
  loss?: number;
};

/** A display with one status line that `update` overwrites in place, and permanent lines that `print` adds. */
export type Screen = { update(line: string): void; print(line: string): void; clear(): void };

export type Meter = { report(status: Status): void; say(line: string): void; done(): void };

/** Seconds as `m:ss` or `h:mm:ss`. */
export function clock(seconds: number): string {
  const rounded = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(rounded / 3600), Math.floor(rounded / 60) % 60, rounded % 60];
  const twoDigits = (n: number) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${twoDigits(m)}:${twoDigits(s)}` : `${m}:${twoDigits(s)}`;
}

const rateText = (perSecond: number): string => (perSecond >= 100 ? perSecond.toFixed(0) : perSecond.toFixed(1));

/**
 * Turns statuses into lines on a screen, at most five per second. `now` returns the time in milliseconds.
 * The rate is that of the current stage. The time left assumes that the work continues at its average speed so far.
 */
export function meter(screen: Screen, now: () => number = Date.now): Meter {
  let start: { time: number; work: number } | undefined;
  let stage: { key: string; time: number; count: number } | undefined;
  let lastUpdate = Number.NEGATIVE_INFINITY;
  return {
    report(status) {
      const time = now();
      start ??= { time, work: status.work };
      const key = `${status.place}/${status.unit}`;
      if (stage?.key !== key) stage = { key, time, count: status.count };
      if (time - lastUpdate < 200) return;
      lastUpdate = time;
      const stageSeconds = (time - stage.time) / 1000;
      const done = status.work - start.work;
      const parts = [status.place, status.stage];
      if (status.loss !== undefined) parts.push(`loss ${status.loss.toFixed(3)}`);
      if (stageSeconds > 0 && status.count > stage.count)
        parts.push(`${rateText((status.count - stage.count) / stageSeconds)} ${status.unit}/s`);
      if (done > 0 && time > start.time)
        parts.push(`${clock((((time - start.time) / 1000) * (status.total - status.work)) / done)} left`);
      screen.update(parts.join(" \u00b7 "));
    },
    say: (line) => screen.print(line),
    done: () => screen.clear(),
  };
}

/**
 * A screen on standard error: a terminal shows one line that is overwritten; files and CI logs get a new line every 15
 * seconds.
 */
export function terminalScreen(stream: NodeJS.WriteStream = process.stderr): Screen {
  let lastWrite = Number.NEGATIVE_INFINITY;
  const clear = () => {
    if (stream.isTTY) stream.write("\r\u001b[K");
  };
  return {
    update(line) {
      if (stream.isTTY) stream.write(`\r\u001b[K${line.slice(0, (stream.columns || 80) - 1)}`);
      else if (Date.now() - lastWrite >= 15_000) {
        lastWrite = Date.now();
        stream.write(`${line}\n`);
      }
    },
    print(line) {
      clear();
      stream.write(`${line}\n`);
    },
    clear,
  };
}
