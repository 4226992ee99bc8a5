/** `check` says what a path is; `reproduce` runs the paper's table from a CoOp root with a CLIP of true layout. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { coopDatasets } from "../../src/datasets/coop";
import { writeCoopRoot } from "../coopRoot";
import { writeRandomClip } from "../randomClip";
import { temporaryFolder } from "../temporary";
import { commandLine } from "./commandLine";

let folder: string;
let root: string;
beforeAll(async () => {
  folder = temporaryFolder("check");
  root = join(folder, "coop");
  await writeCoopRoot(root);
});

const cli = commandLine(
  () => folder,
  () => ({ HF_HUB_CACHE: join(folder, "hub") }),
);

describe("check", () => {
  it("describes what can be used, with status 0", () => {
    const here = (path: string) => join(process.cwd(), path);
    const { status, out } = cli("check", "coop", here("weights/mini-clip"), here("test/pictures/grey.png"), "coop/dtd");
    expect(out).toContain("It is a data root with 15 of CoOp's fifteen datasets.");
    for (const { name } of coopDatasets) expect(out).toContain(`    ${name} `);
    expect(out).toContain("It is a Hugging Face folder of a CLIP, 5 MB: every tensor is there");
    expect(out).toContain("It is a picture of 24 x 16 pixels");
    expect(out).toContain('Sentence of zero-shot CLIP: "{} texture."');
    expect(status).toBe(0);
  });

  it("knows a folder of photos by classes", async () => {
    for (const [label, name] of ["ant", "bee"].entries()) {
      mkdirSync(join(folder, "photos", name), { recursive: true });
      for (const k of [0, 1, 2]) {
        const background = { r: label * 90, g: k * 60, b: 0 };
        const picture = sharp({ create: { width: 8, height: 8, channels: 3, background } });
        await picture.png().toFile(join(folder, "photos", name, `${k}.png`));
      }
    }
    const { status, out } = cli("check", "photos");
    expect(out).toContain("2 classes, 4 training, 0 validation and 2 test pictures");
    expect(out).toMatch(/Use it with --data .* --datasets photos/);
    expect(status).toBe(0);
  });

  it("says what is missing and what to do, with status 1", () => {
    renameSync(join(root, "caltech-101"), join(root, "caltech101"));
    writeFileSync(join(folder, "page.safetensors"), "<!DOCTYPE html>");
    mkdirSync(join(folder, "nothing"));
    const { status, out, err } = cli(
      "check",
      "coop",
      "page.safetensors",
      "nothing",
      "gone",
      "openai/clip-vit-base-patch16",
    );
    renameSync(join(root, "caltech101"), join(root, "caltech-101"));
    expect(out).toContain("is under another name: rename caltech101 to caltech-101");
    expect(out).toContain("It is an HTML page, not the file itself");
    expect(out).toContain("It is an empty folder.");
    expect(out).toMatch(/there is nothing at .*gone/);
    expect(out).toContain("hf download openai/clip-vit-base-patch16");
    expect([status, err]).toEqual([1, ""]);
  });
});

describe("a picture that cannot be decoded", () => {
  it("ends a run before it begins, fails its dataset among several, or is left out of it, of its tables and of its JSON", () => {
    const broken = join(root, "ucf101", "UCF-101-midframes", "cat", "train_0_0.jpg");
    const whole = readFileSync(broken);
    copyFileSync("test/pictures/cut-short.jpg", broken);
    const command = ["run", "base-to-novel", "--data", "coop", "--datasets", "ucf101", "--methods", "clip"];
    const refused = cli(...command, "--results", "skipped");
    expect([refused.status, refused.out]).toEqual([2, ""]);
    expect(refused.err).toMatch(/error: ucf101: .*train_0_0\.jpg cannot be decoded .*--skip-corrupt/);
    const several = cli(...command.with(5, "ucf101,eurosat"), "--results", "several");
    expect(several.err).toMatch(/1 of 2 runs failed.*\n {2}ucf101 . CLIP . seed 1: ucf101: .*--skip-corrupt/);
    expect([several.status, several.out]).toEqual([1, expect.stringContaining("eurosat  CLIP")]);
    const { status, out } = cli(...command, "--results", "skipped", "--skip-corrupt", "--json", "skipped.json");
    writeFileSync(broken, whole);
    expect(status).toBe(0);
    expect(out).toContain("1 pictures that cannot be decoded are left out");
    expect(JSON.parse(readFileSync(join(folder, "skipped.json"), "utf8")).leftOut).toEqual([broken]);
  });
});

describe("reproduce", () => {
  it.each([
    ["base-to-novel", ["--datasets", "dtd,eurosat"], /PromptSRC +base +2 /],
    ["domain-generalisation", ["--datasets", "imagenet_a,imagenet_sketch"], /PromptSRC +accuracy +3 /],
  ])("%s: plan, tables of ours and the paper's, verdicts", (name, options, row) => {
    const model = writeRandomClip({ textLayers: 2, visionLayers: 2 });
    const methods = ["--methods", "clip,promptsrc", "--seeds", "1", "--results", "results"];
    const { status, out, err } = cli("reproduce", name, "--model", model, "--data", "coop", ...options, ...methods);
    expect([status, err.match(/^error.*/m)]).toEqual([0, null]);
    expect(out).toContain('settings "paper"');
    expect(out).toMatch(/\d+ runs, 0 of them stored; about \d+:\d\d on this machine/);
    expect(out).toContain(`Reproduction of ${name} (%)`);
    expect(out).toMatch(row);
    expect(out).toContain("one seed: no verdict");
  });

  it("--dry-run: measures steps of a model of ViT-B/16's full size, says what would run, and ends", () => {
    const sizes = { vision: 768, visionLayers: 12, visionHeads: 12, text: 512, textLayers: 12, textHeads: 8 };
    const rest = { embed: 512, size: 224, patch: 16, context: 77, vocabulary: 49_408 };
    const model = writeRandomClip({ ...sizes, ...rest });
    const command = [
      "reproduce",
      "base-to-novel",
      "--model",
      model,
      "--data",
      "coop",
      "--datasets",
      "dtd",
      "--dry-run",
    ];
    const { status, out, err } = cli(...command, "--methods", "promptsrc", "--results", "none");
    rmSync(model, { recursive: true });
    expect([status, err.match(/^error.*/m)]).toEqual([0, null]);
    expect(out).toMatch(/3 runs, 0 of them stored; about \d+:\d\d on this machine/);
    expect(out).toMatch(/PromptSRC +3 +0 +\d+:\d\d/);
    expect(out).not.toContain("Reproduction of");
    expect(existsSync(join(folder, "none"))).toBe(false);
  }, 600_000); // writing and reading 600 MB, and eight passes of the encoders

  it("shares the runs among processes after it has measured its plan", () => {
    const model = writeRandomClip({ textLayers: 1, visionLayers: 1 });
    const options = ["--methods", "promptsrc", "--seeds", "1,2", "--datasets", "dtd", "--results", "shared"];
    const command = ["reproduce", "base-to-novel", "--model", model, "--data", "coop", ...options, "--processes", "2"];
    const { status, out, err } = cli(...command);
    expect([status, err.match(/a worker process ended.*/)]).toEqual([0, null]);
    expect(out).toContain("Reproduction of base-to-novel (%)");
    const stored = readdirSync(join(folder, "shared", "base-to-novel", "dtd"));
    expect(stored.filter((name) => name.endsWith(".json"))).toHaveLength(2);
  });

  it("does not take other settings than the paper's", () => {
    const { status, err } = cli("reproduce", "few-shot", "--set", "lr=1");
    expect(status).toBe(2);
    expect(err).toContain("reproduce runs the paper's settings");
  });
});
