/** Text as data: a name may hold any character, and every one of them is shown as it is. */

/** Text between tags of HTML, or in an attribute between quotes. */
export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
