/** Progress of a grid of runs as one line: where it is, how fast, and how long the whole still takes. */

/**
 * Where a grid stands. `work` and `total` count pictures through the encoders, weighted by what they cost, and give the time left;
 * `count` counts `unit`s at this `place` and gives the rate.
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

/** A line that is overwritten in place, and lines that stay. */
export type Screen = { update(line: string): void; print(line: string): void; clear(): void };

export type Meter = { report(status: Status): void; say(line: string): void; done(): void };

/** Seconds as `m:ss` or `h:mm:ss`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

const rateText = (perSecond: number): string => (perSecond >= 100 ? perSecond.toFixed(0) : perSecond.toFixed(1));

/**
 * Turns statuses into lines on a screen, at most five a second. `now` gives milliseconds.
 * The rate is that of the present stage; the time left assumes that work goes on as fast as it has gone so far.
 */
export function meter(screen: Screen, now: () => number = Date.now): Meter {
  let began: { time: number; work: number } | undefined;
  let stage: { key: string; time: number; count: number } | undefined;
  let shown = Number.NEGATIVE_INFINITY;
  return {
    report(status) {
      const time = now();
      began ??= { time, work: status.work };
      const key = `${status.place}/${status.unit}`;
      if (stage?.key !== key) stage = { key, time, count: status.count };
      if (time - shown < 200) return;
      shown = time;
      const stageSeconds = (time - stage.time) / 1000;
      const done = status.work - began.work;
      const parts = [status.place, status.stage];
      if (status.loss !== undefined) parts.push(`loss ${status.loss.toFixed(3)}`);
      if (stageSeconds > 0 && status.count > stage.count)
        parts.push(`${rateText((status.count - stage.count) / stageSeconds)} ${status.unit}/s`);
      if (done > 0 && time > began.time)
        parts.push(`${clock((((time - began.time) / 1000) * (status.total - status.work)) / done)} left`);
      screen.update(parts.join(" \u00b7 "));
    },
    say: (line) => screen.print(line),
    done: () => screen.clear(),
  };
}

/** Standard error: a line overwritten in a terminal; elsewhere (files, CI) a fresh line every 15 seconds. */
export function terminalScreen(stream: NodeJS.WriteStream = process.stderr): Screen {
  let last = Number.NEGATIVE_INFINITY;
  const clear = () => {
    if (stream.isTTY) stream.write("\r\u001b[K");
  };
  return {
    update(line) {
      if (stream.isTTY) stream.write(`\r\u001b[K${line.slice(0, (stream.columns || 80) - 1)}`);
      else if (Date.now() - last >= 15_000) {
        last = Date.now();
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
