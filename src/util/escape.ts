/** Names from outside in HTML and in messages, because they may contain any character and have any length. */

/** Escapes text for use between HTML tags or in a quoted attribute. */
export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** A name in a message: its first 80 characters, those that no terminal should get replaced. */
export const shortName = (text: string): string =>
  text.slice(0, 80).replace(/\p{C}/gu, "\ufffd") + (text.length > 80 ? "..." : "");
