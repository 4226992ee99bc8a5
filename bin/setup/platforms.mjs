/**
 * The platforms that the native engine is built for: those for which a wheel of TensorFlow has its library. What
 * differs between them is in this record. `npm run cross` builds both arm64 engines on another machine.
 *
 *   wheels       the lists of bin/setup/wheels, by build: every platform has "cpu", Linux on x64 also "cuda"
 *   tag          the wheel's platform tag. Without one, pip chooses, as the wheels of the CUDA build have several
 *   library      the file name of a shared library of TensorFlow
 *   linking      flags for the binding, which is loaded by Node and finds TensorFlow in a folder relative to itself
 *   sources      files of src/engine/native that define functions of the library again
 *   vectorFlags  for kernels.cc only: all other code runs on any processor, and checks that the processor has these
 *                instructions before it calls the kernels. NEON is part of every arm64 processor and needs no flag
 *   target       the platform's name for the compiler zig
 */
const linux = {
  library: (name) => `lib${name}.so.2`,
  linking: (folder) => [`-Wl,-rpath,$ORIGIN/${folder}`],
  // The dynamic linker looks a symbol up in the binding first, and the definition there replaces the library's.
  sources: ["minLogLevel.cc", "gpuOptions.cc", "functions.cc"],
};

export const platforms = {
  "linux-x64": {
    ...linux,
    wheels: { cpu: "tensorflow-cpu", cuda: "tensorflow-cuda" },
    vectorFlags: ["-mavx2", "-mfma"],
    target: "x86_64-linux-gnu.2.27",
  },
  "linux-arm64": {
    ...linux,
    wheels: { cpu: "tensorflow-arm64" },
    tag: "manylinux_2_27_aarch64",
    vectorFlags: [],
    target: "aarch64-linux-gnu.2.27",
  },
  "darwin-arm64": {
    wheels: { cpu: "tensorflow-arm64" },
    tag: "macosx_12_0_arm64",
    library: (name) => `lib${name}.2.dylib`,
    // Node's own functions are found when the binding is loaded; on Linux that is the default.
    linking: (folder) => [`-Wl,-rpath,@loader_path/${folder}`, "-Wl,-undefined,dynamic_lookup"],
    // On macOS a library calls its own functions whatever the binding defines. None of the files is needed there: this
    // library logs nothing while it is loaded, it has no GPU, and the kit's own kernels make functions superfluous.
    sources: [],
    vectorFlags: [],
    target: "aarch64-macos",
  },
};

/**
 * Why the native engine cannot be built here.
 * @param machine Node's own names of the system and the architecture, the processor's name, and the version of glibc
 * @returns undefined where it can
 */
export function unsupported({ platform, arch, processor = "", glibc }) {
  const name = `${platform}-${arch}`;
  if (name === "darwin-x64")
    return /Apple/.test(processor) // "VirtualApple" under Rosetta
      ? "this Node.js is the one for Intel Macs, but this Mac has an Apple chip: install Node.js for arm64, and remove node_modules"
      : "TensorFlow has no library for Intel Macs any more (2.16 was the last)";
  if (!platforms[name])
    return `TensorFlow's wheels have a library for ${Object.keys(platforms).join(", ")}, and this is ${name}`;
  if (platform === "linux" && !glibc)
    return "TensorFlow's library needs a Linux with glibc, and this one has another C library (Alpine's musl?)";
  return undefined;
}
