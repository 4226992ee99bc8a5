import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { settingsTable } from "../../src/cli/settings";

const file = "docs/settings.md";
const head = `# Settings

Every number that an experiment can change, made from the schemas of the methods (\`src/configs/settings.ts\` and the methods' own files).
Change one on the command line with \`--set key=value\` (\`--set lr=0.02\`, \`--set ensemble=null\`), or in a notebook with
\`change: (config) => ({ ...config, lr: 0.02 })\`. A setting that a method does not have, or a value out of its range, is an error. The two columns of
values are those of the base-to-novel experiment: of PromptSRC's paper (ViT-B/16) and of the embedded model. A method's own paper may set others.

`;

it("docs/settings.md is the table of the schemas (UPDATE=1 writes it)", () => {
  const text = `${head}${settingsTable()}\n`;
  if (process.env.UPDATE) writeFileSync(file, text);
  expect(
    existsSync(file) && readFileSync(file, "utf8") === text,
    `${file} is not up to date: UPDATE=1 npx vitest run test/cli/settings`,
  ).toBe(true);
});
