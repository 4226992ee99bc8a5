/** All methods by name, in the order of tables. A new one is a file beside this and a line here. */
import { clip } from "./clip";
import { ivlp } from "./ivlp";
import type { Method } from "./method";
import { promptsrc } from "./promptsrc";

export const methods: Record<string, Method> = { clip, ivlp, promptsrc };
