/**
 * One residual block of CLIP's towers (openai/CLIP model.py, ResidualAttentionBlock), with its gradient written by hand:
 *
 *   x <- x + Attention(LayerNorm(x));   x <- x + MLP(LayerNorm(x))
 *
 * Weights are frozen: gradients flow to tokens only. Every multiplication of a row by a constant is moved into the weights at
 * load (`foldBlock`), which changes no number beyond rounding:
 * - LayerNorm's gain and bias go into the linear map that follows; columns of that map are centred, since a standardised row sums to 0
 *   (so the gradient of the row also sums to 0, and LayerNorm's backward pass loses a term);
 * - attention's 1/sqrt(d) goes into the query map; the key bias adds the same to all scores of a query, and softmax ignores it;
 *   the value bias passes attention unchanged (its weights sum to 1) into the output bias;
 * - QuickGELU's 1.702 goes into both maps of the MLP: 1.702 a sigmoid(1.702 a) = a' sigmoid(a').
 *
 * Shapes: G sequences (images or classes), S tokens each, Q of them ask (all, or one), P prompt tokens, K keys, D width, H heads, d = D/H.
 * Keys and values lie together as [2H,G,K,d]: the first H are keys.
 */
import type { Norm } from "../ops";
import { recording, standardise } from "../ops";
import type { Tensor, Tensor1D, Tensor2D, Tensor3D, Tensor4D } from "../tf";
import { tf } from "../tf";

/** y = x weight + bias, weight [in,out]. */
export type Linear = { weight: Tensor2D; bias: Tensor1D };
export type Activation = "quick_gelu" | "gelu";

/** A block as checkpoints have it. */
export type PlainBlock = {
  norm1: Norm;
  query: Linear;
  key: Linear;
  value: Linear;
  out: Linear;
  norm2: Norm;
  up: Linear;
  down: Linear;
  heads: number;
  activation: Activation;
};

/** A block as it is computed: query [D,D], keyValue [D,2D], out [D,D], up [D,hidden], down [hidden,D]. */
export type Block = {
  query: Linear;
  keyValue: Tensor2D;
  out: Linear;
  up: Linear;
  down: Linear;
  heads: number;
  epsilon1: number;
  epsilon2: number;
  activation: Activation;
};

/** Queries [H,G,S,d], keys and values [2H,G,S,d] of a block's own tokens. */
export type Projected = { query: Tensor4D; keyValue: Tensor4D };

export type Surroundings = {
  /** Tokens that only give keys and values, [1,P,D] for all sequences alike or [G,P,D]; differentiable. */
  prompts?: Tensor3D;
  /** Keys and values of frozen tokens, the same for all sequences: [2H,1,K,d]. */
  constant?: Tensor4D;
  /** Added to the scores, broadcast to [H,G,Q,K]; keys in the order constant, prompts, own. */
  mask?: Tensor;
  /** The one token of each sequence that asks, as one-hot rows [G,1,S]; without it all ask. */
  pick?: Tensor3D;
  /** The block's tokens do not depend on anything learnt: no gradient is made for them. */
  fixed?: boolean;
  /** What `project` gave for these tokens, if it is known already; only with `fixed` and without `pick`. */
  projected?: Projected;
};

/** Moves all constants into the weights (see above). The plain weights stay the caller's. */
export function foldBlock(plain: PlainBlock): Block {
  return tf.tidy(() => {
    const { heads } = plain;
    const width = plain.query.weight.shape[0];
    const afterNorm = ({ gain, bias }: Norm, linear: Linear): Linear => {
      const weight = tf.mul(linear.weight, tf.reshape(gain, [-1, 1]));
      const shift = tf.reshape(tf.matMul(tf.reshape(bias, [1, -1]), linear.weight), [-1]);
      return { weight: tf.sub(weight, tf.mean(weight, 0, true)), bias: tf.add(shift, linear.bias) };
    };
    const scaled = ({ weight, bias }: Linear, factor: number): Linear =>
      factor === 1 ? { weight, bias } : { weight: tf.mul(weight, factor), bias: tf.mul(bias, factor) };
    const value = afterNorm(plain.norm1, plain.value);
    const steepness = plain.activation === "quick_gelu" ? 1.702 : 1;
    const passed = tf.reshape(tf.matMul(tf.reshape(value.bias, [1, -1]), plain.out.weight), [-1]);
    return {
      query: scaled(afterNorm(plain.norm1, plain.query), 1 / Math.sqrt(width / heads)),
      keyValue: tf.concat([afterNorm(plain.norm1, plain.key).weight, value.weight], 1),
      out: { weight: tf.clone(plain.out.weight), bias: tf.add(plain.out.bias, passed) },
      up: scaled(afterNorm(plain.norm2, plain.up), steepness),
      down: { weight: tf.div(plain.down.weight, steepness), bias: tf.clone(plain.down.bias) },
      heads,
      epsilon1: plain.norm1.epsilon,
      epsilon2: plain.norm2.epsilon,
      activation: plain.activation,
    } as any;
  });
}

/** [G,S,D] -> [G,S,D], or [G,1,D] with `pick`. Differentiable in x and in `around.prompts`. */
export function block(w: Block, x: Tensor3D, around: Surroundings = {}): Tensor3D {
  const { prompts } = around;
  const inputs: Tensor[] = [...(around.fixed ? [] : [x]), ...(prompts ? [prompts] : [])];
  if (inputs.length === 0 || !recording()) return tf.tidy(() => forward(w, x, around).value);
  return tf.customGrad((...args: any[]) => {
    const save = args[args.length - 1];
    const { value, saved } = forward(w, x, around);
    const names = Object.keys(saved);
    save(Object.values(saved));
    const gradFunc = (dvalue: any, tensors: any) =>
      tf.tidy(() => backward(w, x.shape, around, dvalue, Object.fromEntries(names.map((name, i) => [name, tensors[i]])) as Saved));
    return { value, gradFunc } as any;
  })(...(inputs as any)) as Tensor3D;
}

/** Queries, keys and values of tokens [G,S,D]. */
export function project(w: Block, x: Tensor3D): Projected {
  return tf.tidy(() => {
    const [sequences, tokens, width] = x.shape;
    const { y } = standardise(tf.reshape(x, [-1, width]), w.epsilon1);
    return {
      query: toHeads(linear(y, w.query), w.heads, sequences, tokens),
      keyValue: toHeads(tf.matMul(y as Tensor2D, w.keyValue), 2 * w.heads, sequences, tokens),
    };
  });
}

/** Attention weights [H,G,Q,K] of a block; for looking at, not differentiable. */
export function attention(w: Block, x: Tensor3D, around: Surroundings = {}): Tensor4D {
  return tf.tidy(() => forward(w, x, around).saved.p as Tensor4D);
}

type Saved = Record<"p" | "q" | "keys" | "values" | "y2" | "factor2" | "slope", Tensor> &
  Partial<Record<"y1" | "factor1" | "yPrompts" | "factorPrompts" | "pick", Tensor>>;

function forward(w: Block, x: Tensor3D, { prompts, constant, mask, pick, projected }: Surroundings): { value: Tensor3D; saved: Saved } {
  const [G, S, D] = x.shape;
  const { heads: H } = w;
  const saved = (pick ? { pick } : {}) as Saved;

  const asking = (pick ? tf.matMul(pick, x) : x) as Tensor3D; // [G,Q,D]
  const Q = asking.shape[1];
  let query: Tensor; // [H,G,Q,d]
  let own: Tensor; // [2H,G,S,d]
  if (projected && !pick) {
    query = projected.query;
    own = projected.keyValue;
  } else {
    const { y, factor } = standardise(tf.reshape(x, [G * S, D]), w.epsilon1);
    const yAsking = pick ? tf.reshape(tf.matMul(pick, tf.reshape(y, [G, S, D])), [G * Q, D]) : y;
    query = toHeads(linear(yAsking, w.query), H, G, Q);
    own = toHeads(tf.matMul(y as Tensor2D, w.keyValue), 2 * H, G, S);
    saved.y1 = y;
    saved.factor1 = factor;
  }
  const sources: Tensor[] = [own];
  if (prompts) {
    const [groups, P] = prompts.shape;
    const { y, factor } = standardise(tf.reshape(prompts, [groups * P, D]), w.epsilon1);
    sources.unshift(spread(toHeads(tf.matMul(y as Tensor2D, w.keyValue), 2 * H, groups, P), G));
    saved.yPrompts = y;
    saved.factorPrompts = factor;
  }
  if (constant) sources.unshift(spread(constant, G));
  const keyValue = sources.length > 1 ? tf.concat(sources, 2) : own;
  const [keys, values] = tf.split(tf.reshape(keyValue, [2 * H * G, -1, D / H]), 2, 0); // [HG,K,d] each
  const q = tf.reshape(query, [H * G, Q, D / H]);
  const K = keys.shape[1] as number;
  let scores: Tensor = tf.matMul(q, keys, false, true); // [HG,Q,K]
  if (mask) scores = tf.add(tf.reshape(scores, [H, G, Q, K]), mask);
  const p = tf.softmax(scores);
  const mixed = fromHeads(tf.matMul(tf.reshape(p, [H * G, Q, K]), values), H, G * Q); // [GQ,D]
  const x1 = tf.add(tf.reshape(asking, [G * Q, D]), linear(mixed, w.out));

  const { y: y2, factor: factor2 } = standardise(x1, w.epsilon2);
  const { value: hidden, slope } = activations[w.activation](linear(y2, w.up), recording());
  const value = tf.reshape(tf.add(x1, linear(hidden, w.down)), [G, Q, D]) as Tensor3D;
  return { value, saved: { ...saved, p: tf.reshape(p, [H, G, Q, K]), q, keys, values, y2, factor2, slope: slope as Tensor } };
}

/** Gradients of x (unless fixed) and of the prompts (if there are any), in this order. */
function backward(w: Block, shape: number[], { prompts, constant, fixed }: Surroundings, dvalue: Tensor3D, saved: Saved): Tensor[] {
  const [G, S, D] = shape;
  const { heads: H } = w;
  const [, , Q, K] = saved.p.shape as number[];
  const pick = saved.pick as Tensor3D | undefined;
  const dout = tf.reshape(dvalue, [G * Q, D]) as Tensor2D;

  const dhidden = tf.mul(tf.matMul(dout, w.down.weight, false, true), saved.slope) as Tensor2D;
  const dx1 = tf.add(dout, unstandardise(tf.matMul(dhidden, w.up.weight, false, true), saved.y2, saved.factor2)) as Tensor2D;

  const p = tf.reshape(saved.p, [H * G, Q, K]) as Tensor3D;
  const dmixed = tf.reshape(toHeads(tf.matMul(dx1, w.out.weight, false, true), H, G, Q), [H * G, Q, D / H]);
  const dp = tf.matMul(dmixed, saved.values, false, true); // [HG,Q,K]
  const dscores = tf.mul(p, tf.sub(dp, tf.sum(tf.mul(dp, p), -1, true))) as Tensor3D;

  /** Gradient of the tokens behind keys first..first+count: [2H,G,count,d]. */
  const dkeyValue = (first: number, count: number) => {
    const part = (t: Tensor3D) => (count === K ? t : tf.slice(t, [0, 0, first], [-1, -1, count]));
    const pair = [tf.matMul(part(dscores), saved.q, true, false), tf.matMul(part(p), dmixed, true, false)];
    return tf.reshape(tf.concat(pair, 0), [2 * H, G, count, D / H]);
  };
  const intoTokens = (dkv: Tensor, rows: number) => tf.matMul(fromHeads(dkv, 2 * H, rows) as Tensor2D, w.keyValue, false, true);

  const gradients: Tensor[] = [];
  if (!fixed) {
    const dquery = fromHeads(tf.matMul(dscores, saved.keys), H, G * Q) as Tensor2D;
    const dyAsking = tf.matMul(dquery, w.query.weight, false, true);
    const back = (t: Tensor) => (pick ? tf.reshape(tf.matMul(pick, tf.reshape(t, [G, Q, D]), true, false), [G * S, D]) : t);
    const dy = tf.add(intoTokens(dkeyValue(K - S, S), G * S), back(dyAsking));
    gradients.push(tf.reshape(tf.add(back(dx1), unstandardise(dy, saved.y1 as Tensor, saved.factor1 as Tensor)), [G, S, D]));
  }
  if (prompts) {
    const [groups, P] = prompts.shape;
    const dkv = dkeyValue(constant ? constant.shape[2] : 0, P);
    const dy = intoTokens(groups === G ? dkv : tf.sum(dkv, 1), groups * P);
    gradients.push(tf.reshape(unstandardise(dy, saved.yPrompts as Tensor, saved.factorPrompts as Tensor), [groups, P, D]));
  }
  return gradients;
}

const linear = (x: Tensor, { weight, bias }: Linear): Tensor2D => tf.add(tf.matMul(x as Tensor2D, weight), bias);

/** Backward pass of `standardise`, where each row of dy sums to 0 (the weights behind it are centred). */
const unstandardise = (dy: Tensor, y: Tensor, factor: Tensor) => tf.mul(factor, tf.sub(dy, tf.mul(y, tf.mean(tf.mul(dy, y), -1, true))));

/** [G*S, n*d] -> [n,G,S,d]. */
function toHeads(x: Tensor, n: number, sequences: number, tokens: number): Tensor4D {
  const rows = sequences * tokens;
  return tf.reshape(tf.transpose(tf.reshape(x, [rows, n, -1]), [1, 0, 2]), [n, sequences, tokens, x.size / (rows * n)]);
}

/** [n,G,S,d] (or [n*G,S,d]) -> [rows, n*d], rows = G*S. */
const fromHeads = (x: Tensor, n: number, rows: number): Tensor =>
  tf.reshape(tf.transpose(tf.reshape(x, [n, rows, -1]), [1, 0, 2]), [rows, x.size / rows]);

/** [n,1,S,d] repeated for all sequences: [n,G,S,d]. */
const spread = (x: Tensor, sequences: number): Tensor => (x.shape[1] === sequences ? x : tf.tile(x, [1, sequences, 1, 1]));

/** Value, and where it will be needed the derivative, of the MLP's non-linearity. QuickGELU's scale is in the weights. */
const activations: Record<Activation, (a: Tensor, wantSlope: boolean) => { value: Tensor; slope?: Tensor }> = {
  quick_gelu: (a, wantSlope) => {
    const gate = tf.sigmoid(a);
    const value = tf.mul(a, gate);
    return { value, slope: wantSlope ? tf.add(value, tf.mul(gate, tf.sub(1, value))) : undefined };
  },
  gelu: (a, wantSlope) => {
    const gate = tf.mul(0.5, tf.add(1, tf.erf(tf.mul(a, Math.SQRT1_2)))); // the normal distribution function
    const density = () => tf.mul(tf.exp(tf.mul(-0.5, tf.square(a))), 1 / Math.sqrt(2 * Math.PI));
    return { value: tf.mul(a, gate), slope: wantSlope ? tf.add(gate, tf.mul(a, density())) : undefined };
  },
};
