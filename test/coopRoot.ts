/** A data root with small made-up pictures in the layouts of all fifteen datasets of CoOp. */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { coopDatasets } from "../src/datasets/coop";
import { seeded } from "../src/util/random";

const classNames = ["cat", "golden_retriever", "air plane", "sunflower", "snow leopard", "bicycle"];
const counts = { train: 4, val: 1, test: 2 };

/** Writes the root. Every picture of a class has that class's colour, and no two pictures are the same. */
export async function writeCoopRoot(root: string, side = 24): Promise<void> {
  const random = seeded("coop root");
  let made = 0;
  const picture = async (file: string, label: number) => {
    mkdirSync(dirname(file), { recursive: true });
    const colour = { r: (label * 67) % 256, g: (label * 131 + 90) % 256, b: (made++ * 3) % 256 };
    const image = sharp({ create: { width: side + random.int(5), height: side, channels: 3, background: colour } });
    await (/\.png$/.test(file) ? image.png() : image.jpeg()).toFile(file);
  };
  const text = (file: string, lines: string[]) => {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${lines.join("\n")}\n`);
  };
  const wordNetIds = classNames.map((_, label) => `n0${1_440_764 + label}`);
  for (const { name, folder, images, splitFile } of coopDatasets) {
    const at = join(root, folder);
    if (splitFile) {
      const lists: Record<string, [string, number, string][]> = {};
      for (const [part, count] of Object.entries(counts)) {
        lists[part] = [];
        for (const [label, className] of classNames.entries()) {
          for (let k = 0; k < count; k++) {
            const below = name === "stanford_cars" ? (part === "test" ? "cars_test" : "cars_train") : className;
            const file = `${below}/${part}_${label}_${k}.jpg`;
            await picture(join(at, images, file), label);
            lists[part].push([file, label, className]);
          }
        }
      }
      text(join(at, splitFile), [JSON.stringify(lists)]);
    } else if (name === "fgvc_aircraft") {
      const variants = ["A300B4", "Boeing 707-320", "C-130", "DC-3"];
      text(join(at, "variants.txt"), variants);
      for (const [part, count] of Object.entries(counts)) {
        const list: string[] = [];
        for (const [label, variant] of variants.entries()) {
          for (let k = 0; k < count; k++) {
            const id = `${part.length}${label}${k}034`;
            await picture(join(at, "images", `${id}.jpg`), label);
            list.push(`${id} ${variant}`);
          }
        }
        text(join(at, `images_variant_${part}.txt`), list);
      }
    } else {
      // ImageNet and its variants: two classes have one name, as ImageNet's two "missile" and two "sunglasses".
      const names = classNames.map((className, label) => (label === 5 ? classNames[3] : className));
      text(
        join(at, "classnames.txt"),
        wordNetIds.map((id, label) => `${id} ${names[label]}`),
      );
      for (const [label, id] of wordNetIds.entries()) {
        if (["imagenet_a", "imagenet_r"].includes(name) && label % 2 === 1) continue;
        const place = name === "imagenetv2" ? `${label}` : id;
        for (const part of name === "imagenet" ? ["train", "val"] : [""]) {
          for (let k = 0; k < (part === "train" ? counts.train : counts.test); k++) {
            await picture(
              join(at, images, part, place, `${id}_${part}${k}.${name === "imagenetv2" ? "jpeg" : "JPEG"}`),
              label,
            );
          }
        }
      }
      if (["imagenet_a", "imagenet_r"].includes(name)) text(join(at, images, "README.txt"), ["not a picture"]);
    }
  }
}

/** Puts another file in the place of a picture. */
export const replacePicture = (file: string, by: string): void => copyFileSync(by, file);
