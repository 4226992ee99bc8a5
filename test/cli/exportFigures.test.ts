/** `export`: the figures and tables that the notebooks store, as files and on one page. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { temporaryFolder } from "../temporary";
import { commandLine } from "./commandLine";

const folder = temporaryFolder("export");

const command = commandLine(() => folder);
const cli = (...args: string[]) => command("export", ...args);

it("writes the figures of the chosen notebooks, and a page that shows each and links to files that exist", () => {
  expect(cli("--notebook", "06", "--format", "svg,csv", "--size", "two columns").status).toBe(0);
  const target = join(folder, "exported");
  const tables = [1, 2, 3, 4, 5, 6].map((n) => `06-components-table-${n}.csv`);
  const figures = [1, 2].flatMap((n) => ["csv", "svg"].map((format) => `06-components-${n}.${format}`));
  expect(readdirSync(target).sort()).toEqual([...figures, ...tables, "index.html"]);
  const page = readFileSync(join(target, "index.html"), "utf8");
  const links = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link);
  expect(links).toHaveLength(12); // of a figure its drawing and two files, of a table one
  expect(links.filter((link) => !existsSync(join(target, link)))).toEqual([]);
  expect(page).toMatch(/alt="[^"]{20,}"/);
});

it.each([
  [["--notebook", "99"], /no notebook begins so. There are: 00-quickstart\.ipynb, /],
  [["--format", "svg,jpg"], /unknown format "jpg".* There are: svg, png, pdf, html, csv, json, md, tex/],
  [["--theme", "drak"], /unknown theme "drak". Did you mean "dark"\? There are: light, dark, print/],
  [["--size", "poster"], /unknown size "poster".* There are: one column, two columns, slide/],
  [["06"], /export takes options alone, not "06"; choose by --notebook/],
])("%j is refused in one sentence", (args, message) => {
  const { status, err } = cli(...args);
  expect([status, err.trim().split("\n").length]).toEqual([2, 1]);
  expect(err).toMatch(message);
});
