/**
 * The tensors of a file written by torch.save or torch.jit.save (a zip archive with a pickle `data.pkl` and one file
 * for each storage; torch/serialization.py). Nothing in the pickle is executed: only the names below are known.
 */
import { closeSync, openSync } from "node:fs";
import { type PickleGlobal, type PickleObject, unpickle } from "./pickle";
import { bytesOfType, readBytes, type Stored, type TensorFile, widen } from "./tensors";
import { zipEntries } from "./zip";

/** The types of numbers, by torch's storages. */
const storageTypes: Record<string, string> = {
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  DoubleStorage: "F64",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
};

class Storage {
  constructor(
    readonly key: string,
    readonly dtype: string,
    readonly elements: number,
  ) {}
}

class TorchTensor {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: number[],
    readonly stride: number[],
  ) {}
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isSizes = (value: unknown): value is number[] => Array.isArray(value) && value.every(isSize);

/** The functions and classes that a checkpoint may name; undefined for all others. */
function torchGlobal(path: string, module: string, name: string): PickleGlobal | undefined {
  const fail = (what: string): never => {
    throw new Error(`${path}: ${what}`);
  };
  const full = `${module}.${name}`;
  if (module === "torch" && Object.hasOwn(storageTypes, name)) {
    return Object.assign(() => fail(`${full} is called`), { storageType: storageTypes[name] });
  }
  if (full === "torch._utils._rebuild_tensor_v2") {
    return ([storage, offset, shape, stride]: unknown[]) => {
      if (!(storage instanceof Storage) || !isSize(offset) || !isSizes(shape) || !isSizes(stride)) {
        return fail("a tensor has no storage, offset, shape or stride");
      }
      if (shape.length !== stride.length) return fail(`a tensor of shape [${shape}] has the strides [${stride}]`);
      const last = shape.reduce((sum, n, i) => sum + (n - 1) * stride[i], offset);
      const count = shape.reduce((a, b) => a * b, 1);
      if (count > 0 && (last >= storage.elements || count > storage.elements)) {
        return fail(`a tensor of shape [${shape}] reaches beyond its storage of ${storage.elements} numbers`);
      }
      return new TorchTensor(storage, offset, shape, stride);
    };
  }
  if (full === "torch._utils._rebuild_parameter") return ([tensor]: unknown[]) => tensor;
  if (full === "collections.OrderedDict" || full === "collections.defaultdict") return () => new Map();
  // In protocol 2 pickles, builtins has its name of Python 2.
  if (full === "__builtin__.dict" || full === "builtins.dict") return () => new Map();
  if (full === "torch.Size") return ([sizes]: unknown[]) => sizes;
  if (full === "torch.device") return () => null;
  // torch.jit.save: modules are objects of classes that the archive defines, and lists have a function each. Dassl's
  // checkpoints contain a learning rate scheduler and its optimiser as whole objects.
  if (module.startsWith("__torch__.") || module.startsWith("torch.optim."))
    return () => ({ className: full, state: Object.create(null) });
  if (module === "torch.jit._pickle" && /^build_(int|float|double|bool|tensor)list$/.test(name)) {
    return ([list]: unknown[]) => list;
  }
  return undefined;
}

/** `value` is all that was saved: beside the tensors, numbers and names such as the epoch. */
export type TorchFile = TensorFile & { value: unknown };

/** Against pickles that fill the memory: that of a CLIP with its optimiser's state has about 100 kB. */
const largestPickle = 4 * 2 ** 20;
/** Against dictionaries that are nested without end, or that hold one another many times over. */
const deepestDictionary = 32;
const mostValues = 200_000;

/**
 * Opens a file of torch and finds its tensors: those of a dictionary (of `state_dict` or `model`, if it has one), or of
 * a scripted module.
 * @throws naming the file and what is wrong with it, or what it would have called
 */
export function openTorch(path: string): TorchFile {
  const file = openSync(path, "r");
  try {
    const entries = zipEntries(file, path);
    const pickle = [...entries.keys()].find((name) => /(^|\/)data\.pkl$/.test(name));
    if (!pickle) throw new Error(`${path} is a zip archive without data.pkl: it was not written by torch.save`);
    const prefix = pickle.slice(0, -"data.pkl".length);
    const bytesOf = (name: string): Buffer => {
      const entry = entries.get(name);
      if (!entry) throw new Error(`${path}: "${name}" is missing in the archive`);
      if (entry.compressed) throw new Error(`${path}: "${name}" is compressed; torch stores it as it is`);
      if (entry.size > largestPickle) {
        throw new Error(`${path}: "${name}" has ${entry.size} bytes; at most ${largestPickle} are read`);
      }
      return readBytes(file, entry.begin, entry.size, path);
    };
    const order = `${prefix}byteorder`;
    if (entries.has(order) && bytesOf(order).toString("utf8") !== "little") {
      throw new Error(`${path} was written on a big-endian machine: load it with torch there, and save it here`);
    }
    const value = unpickle(bytesOf(pickle), path, {
      global: (module, name) => torchGlobal(path, module, name),
      persistent: (id) => storageOf(id, path),
    });
    const tensors = tensorsOf(stateOf(value), path);
    const find = (name: string) => {
      const tensor = tensors.get(name);
      if (!tensor) throw new Error(`${path}: no tensor "${name}"`);
      return tensor;
    };
    return {
      path,
      value,
      names: [...tensors.keys()],
      shape: (name) => find(name).shape,
      dtype: (name) => find(name).storage.dtype,
      read: (name) => readTensor(find(name), name),
      close: () => closeSync(file),
    };

    function readTensor({ storage, offset, shape, stride }: TorchTensor, name: string): Stored {
      const entry = entries.get(`${prefix}data/${storage.key}`);
      const wanted = storage.elements * bytesOfType[storage.dtype];
      if (!entry || entry.compressed || entry.size < wanted) {
        const found = !entry ? "not there" : entry.compressed ? "compressed" : `${entry.size} bytes`;
        throw new Error(
          `${path}: the numbers of tensor "${name}" are missing: ${wanted} bytes are wanted, they are ${found}. Fetch the file again`,
        );
      }
      const bytes = bytesOfType[storage.dtype];
      const count = shape.reduce((a, b) => a * b, 1);
      const what = `${path}: tensor "${name}"`;
      if (isContiguous(shape, stride)) {
        const part = readBytes(file, entry.begin + offset * bytes, count * bytes, path);
        return { shape, data: widen(part, storage.dtype, what) };
      }
      const all = widen(readBytes(file, entry.begin, storage.elements * bytes, path), storage.dtype, what);
      const data = new Float32Array(count);
      for (let i = 0; i < count; i++) {
        let [rest, position] = [i, offset];
        for (let d = shape.length - 1; d >= 0; d--) {
          position += (rest % shape[d]) * stride[d];
          rest = Math.floor(rest / shape[d]);
        }
        data[i] = all[position];
      }
      return { shape, data };
    }
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

/** A persistent id of torch: ("storage", type, key, device, number of elements). */
function storageOf(id: unknown, path: string): Storage {
  const [kind, type, key, , elements] = Array.isArray(id) ? id : [];
  const dtype = (type as { storageType?: string })?.storageType;
  if (kind !== "storage" || !dtype || typeof key !== "string" || !/^\w+$/.test(key) || !isSize(elements)) {
    throw new Error(`${path}: a storage is described in a way that is not known here`);
  }
  return new Storage(key, dtype, elements);
}

/** The dictionary of tensors in a checkpoint: the value itself, or its `state_dict` or `model`. */
function stateOf(value: unknown): unknown {
  if (!(value instanceof Map)) return value;
  const inner = value.get("state_dict") ?? value.get("model");
  return inner instanceof Map ? inner : value;
}

/**
 * All tensors in dictionaries and modules, with names joined by dots.
 * @throws where a dictionary contains itself, is nested too deep, or where there are too many values
 */
function tensorsOf(value: unknown, path: string): Map<string, TorchTensor> {
  const tensors = new Map<string, TorchTensor>();
  let values = 0;
  const collect = (child: unknown, name: string, above: unknown[]): void => {
    if (above.includes(child)) throw new Error(`${path}: "${name}" contains itself`);
    if (above.length > deepestDictionary) throw new Error(`${path}: "${name}" is nested too deep`);
    if (++values > mostValues) throw new Error(`${path} holds more than ${mostValues} values`);
    if (child instanceof TorchTensor) {
      tensors.set(name, child);
      return;
    }
    const isModule = child !== null && typeof child === "object" && "className" in child;
    const children = child instanceof Map ? child : isModule ? Object.entries((child as PickleObject).state) : [];
    for (const [key, inner] of children) {
      const isNamed = typeof key === "string" || typeof key === "number";
      if (isNamed && inner !== null && typeof inner === "object") {
        collect(inner, name === "" ? `${key}` : `${name}.${key}`, [...above, child]);
      }
    }
  };
  collect(value, "", []);
  return tensors;
}

function isContiguous(shape: number[], stride: number[]): boolean {
  let expected = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1 && stride[d] !== expected) return false;
    expected *= shape[d];
  }
  return true;
}
