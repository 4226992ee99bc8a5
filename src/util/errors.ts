/** Errors about unknown names, with suggestions of similar names. */

/** A mistake in the user's input. It is shown as one message, without a stack trace. */
export class UsageError extends Error {}

/** Edit distance between two words (insert, delete, replace, swap of neighbours): optimal string alignment. */
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

/**
 * Up to three known names similar to `name`, the most similar first: those a few edits away, or where one contains the
 * other.
 */
export function nearNames(name: string, known: string[]): string[] {
  const word = name.toLowerCase();
  const maxCost = Math.max(1, Math.floor(word.length / 2.5));
  const costOf = (candidate: string) => {
    const lower = candidate.toLowerCase();
    const isContained = word.length > 2 && (lower.includes(word) || word.includes(lower));
    return isContained ? Math.min(1, distance(word, lower)) : distance(word, lower);
  };
  return known
    .map((candidate) => ({ candidate, cost: costOf(candidate) }))
    .filter((n) => n.cost <= maxCost)
    .sort(
      (a, b) =>
        a.cost - b.cost || distance(word, a.candidate.toLowerCase()) - distance(word, b.candidate.toLowerCase()),
    )
    .slice(0, 3)
    .map((n) => n.candidate);
}

/** Returns `name` if it is a known name. @throws UsageError with the given name, similar names, and all known names */
export function oneOf(kind: string, name: string, known: string[]): string {
  if (known.includes(name)) return name;
  const similar = nearNames(name, known);
  const suggestion = similar.length > 0 ? ` Did you mean ${similar.map((n) => `"${n}"`).join(" or ")}?` : "";
  throw new UsageError(`unknown ${kind} "${name}".${suggestion} There are: ${known.join(", ")}`);
}
