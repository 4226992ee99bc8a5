/**
 * The parts of Python's `random` module that the official few-shot draws need: the generator MT19937 (Matsumoto and
 * Nishimura, 1998; CPython Modules/_randommodule.c) and `random.sample` (CPython Lib/random.py). With the same seed,
 * the same pictures are drawn as in the official code.
 */
export type PythonRandom = {
  /** The next 32 random bits of the generator: random.getrandbits(32). */
  uint32(): number;
  /** Uniform integer in [0, n), n below 2^32: random._randbelow(n). */
  below(n: number): number;
  /** k elements without replacement, in the order in which they are drawn: random.sample(population, k). */
  sample<T>(population: readonly T[], k: number): T[];
};

const N = 624;
const M = 397;

/** The generator random.Random(seed) for an integer seed, whose sign is ignored, as in Python. */
export function pythonRandom(seed: number): PythonRandom {
  if (!Number.isSafeInteger(seed)) throw new Error(`a seed must be a whole number; it is ${seed}`);
  const magnitude = Math.abs(seed);
  const high = Math.floor(magnitude / 2 ** 32);
  const state = initByArray(high === 0 ? [magnitude >>> 0] : [magnitude >>> 0, high]);
  let position = N;

  const uint32 = () => {
    if (position >= N) {
      twist(state);
      position = 0;
    }
    let y = state[position++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };

  const below = (n: number) => {
    if (!(n >= 1 && n < 2 ** 32)) throw new Error(`cannot draw an integer below ${n}`);
    const bits = 32 - Math.clz32(n);
    for (;;) {
      const draw = uint32() >>> (32 - bits);
      if (draw < n) return draw;
    }
  };

  const sample = <T>(population: readonly T[], k: number): T[] => {
    const n = population.length;
    if (!(k >= 0 && k <= n)) throw new Error(`cannot draw ${k} of ${n} without repetition`);
    // Python copies the list if this takes less memory than a set of the k drawn indices. The two branches draw
    // differently.
    const setSize = 21 + (k > 5 ? 4 ** Math.ceil(Math.log(k * 3) / Math.log(4)) : 0);
    if (n <= setSize) {
      const pool = population.slice();
      return Array.from({ length: k }, (_, i) => {
        const j = below(n - i);
        const drawn = pool[j];
        pool[j] = pool[n - i - 1];
        return drawn;
      });
    }
    const seen = new Set<number>();
    return Array.from({ length: k }, () => {
      let j = below(n);
      while (seen.has(j)) j = below(n);
      seen.add(j);
      return population[j];
    });
  };

  return { uint32, below, sample };
}

function initByArray(key: number[]): Uint32Array {
  const state = new Uint32Array(N);
  const mix = (i: number, factor: number) => Math.imul(state[i - 1] ^ (state[i - 1] >>> 30), factor);
  state[0] = 19650218;
  for (let i = 1; i < N; i++) state[i] = mix(i, 1812433253) + i;
  let i = 1;
  const advance = () => {
    if (++i < N) return;
    state[0] = state[N - 1];
    i = 1;
  };
  for (let k = 0, j = 0; k < N; k++, j = (j + 1) % key.length) {
    state[i] = (state[i] ^ mix(i, 1664525)) + key[j] + j;
    advance();
  }
  for (let k = 0; k < N - 1; k++) {
    state[i] = (state[i] ^ mix(i, 1566083941)) - i;
    advance();
  }
  state[0] = 0x80000000;
  return state;
}

function twist(state: Uint32Array): void {
  for (let i = 0; i < N; i++) {
    const y = (state[i] & 0x80000000) | (state[(i + 1) % N] & 0x7fffffff);
    state[i] = state[(i + M) % N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
  }
}
