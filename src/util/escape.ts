/** Escaping of text for HTML, because a name may contain any character. */

/** Escapes text for use between HTML tags or in a quoted attribute. */
export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
