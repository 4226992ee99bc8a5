/** Names that a person may have meant, for errors about unknown ones. */

/** A mistake in what was asked for: shown as one message, without a stack trace. */
export class UsageError extends Error {}

/** Edits (insert, delete, replace, swap of neighbours) between two words; optimal string alignment. */
export function distance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) =>
    Array.from({ length: b.length + 1 }, (_, j) => (i === 0 ? j : j === 0 ? i : 0)),
  );
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const replace = rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, replace);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.length][b.length];
}

/** The names near to `name`, nearest first: few edits, or one containing the other. */
export function nearNames(name: string, known: string[]): string[] {
  const word = name.toLowerCase();
  const far = Math.max(1, Math.floor(word.length / 2.5));
  const cost = (other: string) => {
    const theirs = other.toLowerCase();
    const inside = word.length > 2 && (theirs.includes(word) || word.includes(theirs));
    return inside ? Math.min(1, distance(word, theirs)) : distance(word, theirs);
  };
  return known
    .map((other) => ({ other, cost: cost(other) }))
    .filter((n) => n.cost <= far)
    .sort((a, b) => a.cost - b.cost || distance(word, a.other.toLowerCase()) - distance(word, b.other.toLowerCase()))
    .slice(0, 3)
    .map((n) => n.other);
}

/** `name`, if it is one of the known. @throws UsageError naming what came, the near names and all that there are */
export function oneOf(kind: string, name: string, known: string[]): string {
  if (known.includes(name)) return name;
  const near = nearNames(name, known);
  const meant = near.length > 0 ? ` Did you mean ${near.map((n) => `"${n}"`).join(" or ")}?` : "";
  throw new UsageError(`unknown ${kind} "${name}".${meant} There are: ${known.join(", ")}`);
}
