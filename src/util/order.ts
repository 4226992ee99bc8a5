/** The order of texts in Python, in which CoOp's code sorts class names and files. */

/**
 * Compares two texts by code points, as Python does; JavaScript's own order, by UTF-16 units, differs beyond U+FFFF. The
 * bytes of UTF-8 have the order of the code points.
 */
export const byCodePoint = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
