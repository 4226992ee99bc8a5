/** HTML documents in one file. */
import { escapeHtml } from "./escape";

/** A whole document from the HTML of its body. It loads nothing. */
export const htmlPage = (title: string, body: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
</head>
<body style="margin:16px;font-family:Arial,sans-serif;color:#23272e;background:#ffffff">
${body}
</body>
</html>
`;
