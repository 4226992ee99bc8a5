/**
 * A TensorFlow function as the message FunctionDef (tensorflow/core/framework/function.proto), from the kernels that
 * were run once. tfjs-node brings the classes of TensorFlow's messages.
 */
import type { Attribute } from "./nativeBackend";
import { tensorflowMessages } from "./tf";

/** A type of arrays, and those of attributes, as TensorFlow numbers them (tf_datatype.h, tf_attrtype.h). */
const int32 = 3;
const attributeTypes = { int: 1, float: 2, bool: 3, type: 4 } as const;

/** Where an array in a function comes from: argument i, the result of kernel i, or a list of numbers or one number. */
export type Source = Argument | Made | Constant;
type Argument = { argument: number; dtype: number };
export type Made = { kernel: number; dtype: number };
type Constant = { values: number[] | number; dtype: number };

/** One call of a kernel with one result. */
export type KernelCall = { name: string; attributes: Attribute[]; inputs: Source[] };

type Signature = { result: string; types: Record<string, number> };
const signature = (result: string, types: Record<string, number> = { T: 0 }): Signature => ({ result, types });

/**
 * The kernels that functions may use: what TensorFlow's registry calls their result, and which attribute is the type of
 * which input. (A kernel that runs by itself needs neither.)
 */
const signatures: Record<string, Signature> = {
  ...Object.fromEntries(["AddV2", "Sub", "Mul", "RealDiv"].map((name) => [name, signature("z")])),
  ...Object.fromEntries(
    ["Square", "Sqrt", "Rsqrt", "Exp", "Log", "Erf", "Sigmoid", "Transpose"].map((name) => [name, signature("y")]),
  ),
  ...Object.fromEntries(
    ["Sum", "Mean", "Max", "BatchMatMulV2", "Reshape", "Tile", "ConcatV2"].map((name) => [name, signature("output")]),
  ),
  Softmax: signature("softmax"),
  MatMul: signature("product"),
  Slice: signature("output", { T: 0, Index: 1 }),
  GatherV2: signature("output", { Tparams: 0, Tindices: 1, Taxis: 2 }),
  ScatterNd: signature("output", { T: 1, Tindices: 0 }),
};

/** Whether a function may use this kernel. */
export const isKnown = (kernel: string): boolean => kernel in signatures;

/**
 * @param parameters the types of the arguments; argument i of the kernels' inputs is the i-th of them
 * @param results those of the kernels' results that the function returns
 * @returns the serialised message
 */
export function functionDef(name: string, parameters: number[], kernels: KernelCall[], results: Made[]): Uint8Array {
  const { FunctionDef, OpDef, NodeDef, AttrValue, Tensor, TensorShape } = tensorflowMessages();
  const definition = new FunctionDef();
  const arg = (name: string, dtype: number) => {
    const message = new OpDef.ArgDef();
    message.setName(name);
    message.setType(dtype);
    return message;
  };
  const head = new OpDef();
  head.setName(name);
  head.setInputArgList(parameters.map((dtype, i) => arg(`a${i}`, dtype)));
  head.setOutputArgList(results.map(({ dtype }, i) => arg(`r${i}`, dtype)));
  definition.setSignature(head);

  const addNode = (name: string, kernel: string, inputs: string[], attributes: Record<string, unknown>) => {
    const node = new NodeDef();
    node.setName(name);
    node.setOp(kernel);
    node.setInputList(inputs);
    for (const [key, value] of Object.entries(attributes)) node.getAttrMap().set(key, value);
    definition.addNodeDef(node);
  };
  const attributeOf = (type: number, value: any) => {
    const message = new AttrValue();
    if (type === attributeTypes.int) message.setI(value);
    else if (type === attributeTypes.float) message.setF(value);
    else if (type === attributeTypes.bool) message.setB(value);
    else message.setType(value);
    return message;
  };
  /** The name of a node with these numbers; equal ones share it. */
  const constants = new Map<string, string>();
  const constant = ({ values, dtype }: Constant): string => {
    const key = JSON.stringify([dtype, values]);
    const known = constants.get(key);
    if (known) return known;
    const name = `c${constants.size}:output:0`;
    constants.set(key, name);
    const tensor = new Tensor();
    const shape = new TensorShape();
    if (Array.isArray(values)) {
      const dim = new TensorShape.Dim();
      dim.setSize(values.length);
      shape.addDim(dim);
    }
    tensor.setDtype(dtype);
    tensor.setTensorShape(shape);
    if (dtype === int32) tensor.setIntValList([values].flat());
    else tensor.setFloatValList([values].flat());
    const value = new AttrValue();
    value.setTensor(tensor);
    addNode(name.split(":")[0], "Const", [], { value, dtype: attributeOf(attributeTypes.type, dtype) });
    return name;
  };
  const resultOf = (kernel: number) => `k${kernel}:${signatures[kernels[kernel].name].result}:0`;
  const nameOf = (source: Source): string =>
    "argument" in source ? `a${source.argument}` : "kernel" in source ? resultOf(source.kernel) : constant(source);

  kernels.forEach(({ name, attributes, inputs }, i) => {
    const inputTypes = Object.entries(signatures[name].types).map(([key, input]) => [
      key,
      attributeOf(attributeTypes.type, inputs[input].dtype),
    ]);
    const given = attributes.map(({ name, type, value }) => [name, attributeOf(type, value)]);
    addNode(`k${i}`, name, inputs.map(nameOf), Object.fromEntries([...inputTypes, ...given]));
  });
  results.forEach(({ kernel }, i) => {
    definition.getRetMap().set(`r${i}`, resultOf(kernel));
  });
  return definition.serializeBinary();
}
