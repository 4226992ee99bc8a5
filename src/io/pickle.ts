/**
 * Reads Python pickles (protocols 2 to 5, https://github.com/python/cpython/blob/main/Lib/pickletools.py) without
 * executing anything. A pickle is a program that may call any function by its name; here the caller lists the names
 * that are known and what each gives, and any other name is an error.
 */

import { shortName } from "../util/escape";

/** A class or function that a pickle names: what its call, or the making of an object, gives. */
export type PickleGlobal = (args: unknown[]) => unknown;

type PickleOptions = {
  /** `global("torch", "FloatStorage")`: undefined where the name is not allowed. */
  global(module: string, name: string): PickleGlobal | undefined;
  /** What an object outside of the pickle is, by its persistent id. */
  persistent?(id: unknown): unknown;
};

/** An object of a class that the pickle names; `state` is set by the pickle's BUILD operation. */
export type PickleObject = { className: string; state: Record<string, unknown> };

const mark = Symbol("mark");

/**
 * The value of a pickle: dictionaries become Maps, lists and tuples arrays, sets arrays, None null, bytes Uint8Arrays.
 * @param where names the file in errors
 * @throws naming each function or class that is not allowed, or the operation that is not known
 */
export function unpickle(bytes: Uint8Array, where: string, { global, persistent }: PickleOptions): unknown {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stack: unknown[] = [];
  const memo = new Map<number, unknown>();
  let at = 0;

  const fail = (what: string): never => {
    throw new Error(`${where} is not a pickle that can be read here: ${what}`);
  };
  const take = (count: number): number => {
    const from = at;
    at += count;
    if (!(count >= 0) || at > bytes.length) fail("it is cut short");
    return from;
  };
  const byte = () => bytes[take(1)];
  const uint16 = () => view.getUint16(take(2), true);
  const int32 = () => view.getInt32(take(4), true);
  const uint32 = () => view.getUint32(take(4), true);
  const uint64 = () => Number(view.getBigUint64(take(8), true));
  const text = (length: number) => {
    const from = take(length);
    return Buffer.from(bytes.buffer, bytes.byteOffset + from, length).toString("utf8");
  };
  const line = () => {
    const end = bytes.indexOf(10, at);
    if (end < 0) fail("it is cut short");
    const result = text(end - at);
    at = end + 1;
    return result;
  };
  const raw = (length: number) => {
    const from = take(length);
    return bytes.slice(from, from + length);
  };
  const long = (length: number): number | bigint => {
    let value = 0n;
    raw(length).forEach((b, i) => {
      value |= BigInt(b) << BigInt(8 * i);
    });
    if (length > 0 && bytes[at - 1] >= 128) value -= 1n << BigInt(8 * length);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  };
  const pop = (): unknown => {
    if (stack.length === 0) fail("its stack is empty");
    const value = stack.pop();
    return value === mark ? fail("a mark stands where a value is wanted") : value;
  };
  const remembered = (key: number): unknown =>
    memo.has(key) ? memo.get(key) : fail(`it takes object ${key} from its memo, which is not there`);
  const top = (): any => stack[stack.length - 1];
  const popMark = (): unknown[] => {
    const from = stack.lastIndexOf(mark);
    if (from < 0) fail("a mark is missing");
    const values = stack.splice(from);
    return values.slice(1);
  };
  const named = (module: string, name: string): PickleGlobal =>
    global(module, name) ?? fail(`it would call ${shortName(`${module}.${name}`)}, which is not allowed`);
  const call = (f: unknown, args: unknown): unknown => {
    if (typeof f !== "function" || !Array.isArray(args)) fail("it calls what is not a function");
    return (f as PickleGlobal)(args as unknown[]);
  };
  const setItems = (values: unknown[]) => {
    const target = top();
    if (!(target instanceof Map)) fail("it sets an item of what is not a dictionary");
    for (let i = 0; i + 1 < values.length; i += 2) target.set(values[i], values[i + 1]);
  };
  const append = (values: unknown[]) => {
    const target = top();
    if (!Array.isArray(target)) fail("it appends to what is not a list");
    for (const value of values) target.push(value);
  };
  const build = () => {
    const state = pop();
    const target = top();
    const [slots, attributes] = Array.isArray(state) && state.length === 2 ? state : [state, undefined];
    for (const part of [slots, attributes]) {
      if (!(part instanceof Map) || target === null || typeof target !== "object" || !("state" in target)) continue;
      for (const [key, value] of part) {
        if (typeof key !== "string") fail("an attribute has a name that is no text");
        (target as PickleObject).state[key] = value;
      }
    }
  };

  for (;;) {
    const op = byte();
    switch (String.fromCharCode(op)) {
      case "\x80":
        if (byte() > 5) fail("its protocol is newer than 5");
        break;
      case "\x95": // FRAME
        take(8);
        break;
      case ".":
        return pop();
      case "(":
        stack.push(mark);
        break;
      case "N":
        stack.push(null);
        break;
      case "\x88":
        stack.push(true);
        break;
      case "\x89":
        stack.push(false);
        break;
      case "J":
        stack.push(int32());
        break;
      case "K":
        stack.push(byte());
        break;
      case "M":
        stack.push(uint16());
        break;
      case "\x8a":
        stack.push(long(byte()));
        break;
      case "G":
        stack.push(view.getFloat64(take(8), false));
        break;
      case "X":
        stack.push(text(uint32()));
        break;
      case "\x8c":
        stack.push(text(byte()));
        break;
      case "\x8d":
        stack.push(text(uint64()));
        break;
      case "U":
        stack.push(text(byte()));
        break;
      case "T":
        stack.push(text(uint32()));
        break;
      case "B":
        stack.push(raw(uint32()));
        break;
      case "C":
        stack.push(raw(byte()));
        break;
      case "\x8e":
        stack.push(raw(uint64()));
        break;
      case "}":
        stack.push(new Map());
        break;
      case "]":
      case "\x8f":
        stack.push([]);
        break;
      case ")":
        stack.push([]);
        break;
      case "\x85":
        stack.push([pop()]);
        break;
      case "\x86": {
        const [b, a] = [pop(), pop()];
        stack.push([a, b]);
        break;
      }
      case "\x87": {
        const [c, b, a] = [pop(), pop(), pop()];
        stack.push([a, b, c]);
        break;
      }
      case "t":
      case "l":
      case "\x91":
        stack.push(popMark());
        break;
      case "d": {
        const values = popMark();
        stack.push(new Map());
        setItems(values);
        break;
      }
      case "s": {
        const [value, key] = [pop(), pop()];
        setItems([key, value]);
        break;
      }
      case "u":
        setItems(popMark());
        break;
      case "a":
        append([pop()]);
        break;
      case "e":
      case "\x90":
        append(popMark());
        break;
      case "0":
        pop();
        break;
      case "2":
        stack.push(top());
        break;
      case "q":
        memo.set(byte(), top());
        break;
      case "r":
        memo.set(uint32(), top());
        break;
      case "\x94":
        memo.set(memo.size, top());
        break;
      case "h":
        stack.push(remembered(byte()));
        break;
      case "j":
        stack.push(remembered(uint32()));
        break;
      case "c": {
        const module = line();
        stack.push(named(module, line()));
        break;
      }
      case "\x93": {
        const [name, module] = [pop(), pop()];
        if (typeof module !== "string" || typeof name !== "string")
          return fail("it names a function by what is no text");
        stack.push(named(module, name));
        break;
      }
      case "R":
      case "\x81": {
        const [args, f] = [pop(), pop()];
        stack.push(call(f, args));
        break;
      }
      case "b":
        build();
        break;
      case "Q":
        if (!persistent) fail("it refers to objects outside of it");
        stack.push(persistent?.(pop()));
        break;
      default:
        fail(`operation 0x${op.toString(16)} is not known`);
    }
  }
}
