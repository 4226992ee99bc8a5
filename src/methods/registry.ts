/** All methods by name, in the order of tables. A new one is a file beside this and a line here. */
import { clip, clip60, clip80 } from "./clip";
import { cocoop } from "./cocoop";
import { loraGpa, mmaGpa, mmrlGpa, mmrlSrc, tcpSrc } from "./combinations";
import { coop } from "./coop";
import { deptCoop, deptPromptsrc } from "./dept";
import { ivlp, language, vision } from "./ivlp";
import { kgcoop } from "./kgcoop";
import { lora } from "./lora";
import { maple } from "./maple";
import type { Method } from "./method";
import { mma } from "./mma";
import { mmrl } from "./mmrl";
import { probe } from "./probe";
import { proda } from "./proda";
import { prograd } from "./prograd";
import { coopSrc, mapleSrc, promptsrc } from "./promptsrc";
import { tcp } from "./tcp";
import { tip, tipF } from "./tip";

const all = [
  clip,
  clip60,
  clip80,
  probe,
  coop,
  cocoop,
  kgcoop,
  prograd,
  proda,
  language,
  vision,
  maple,
  ivlp,
  promptsrc,
  coopSrc,
  mapleSrc,
  tip,
  tipF,
  tcp,
  mma,
  deptCoop,
  deptPromptsrc,
  mmrl,
  lora,
  tcpSrc,
  mmrlSrc,
  mmrlGpa,
  mmaGpa,
  loraGpa,
];

/** All methods by name, in the order of tables. */
export const methods: Record<string, Method> = Object.fromEntries(all.map((method) => [method.name, method]));
