/**
 * The native engine: libtensorflow out of the TensorFlow wheel, and the binding of @tensorflow/tfjs-node-gpu built against it here.
 * The package's own install script would fetch libtensorflow 2.9 from 2022; its binding uses the stable C interface only, so a current library serves.
 * Of the wheel only the shared libraries and a few headers are kept, so any CPython's wheel will do, whatever Python runs here.
 * Into the binding goes what native/ adds: kernels of our own for what TensorFlow does in many passes.
 *
 *   .engine/tensorflow/   libtensorflow_*.so.2, include/     (and .engine/nvidia/ where an NVIDIA driver is found)
 *   .engine/tfjs_binding.node, copied into node_modules
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statfsSync } from "node:fs";
import { dirname, join } from "node:path";
import { install, python } from "./python.mjs";
import { ask, hash, path, readJson, root, run, SetupError, writeWhole } from "./tools.mjs";

/** Exact versions with the hashes of their files; pip refuses a download that is not among them. */
const wheelList = (name) => path("bin", "setup", "wheels", `${name}.txt`);
const versionOf = (name) => new RegExp(`^${name}==(\\S+)`, "m").exec(readFileSync(wheelList(name), "utf8"))[1];
const tensorflow = versionOf("tensorflow-cpu");
const wheelPython = "3.12";

const engineFolder = path(".engine");
const libraryStamp = join(engineFolder, "library.json");
const built = join(engineFolder, "tfjs_binding.node");
const bindingStamp = join(engineFolder, "binding.json");
const binder = path("node_modules", "@tensorflow", "tfjs-node-gpu");
const installed = join(binder, "lib", "napi-v8", "tfjs_binding.node");

export const engine = {
  name: "native engine",
  ready,
  make,
  optional: "Without it the WebAssembly engine runs: the same numbers, several times slower.",
};

const sameFile = (a, b) => existsSync(a) && existsSync(b) && readFileSync(a).equals(readFileSync(b));
const libraryKey = (build) => hash(tensorflow, build, process.platform, process.arch, unpack);
const libraryReady = () =>
  readJson(libraryStamp)?.key === libraryKey(wantedBuild()) &&
  existsSync(path(".engine", "tensorflow", "libtensorflow_cc.so.2"));
const bindingReady = () => readJson(bindingStamp)?.key === bindingKey() && existsSync(built);

function ready() {
  return libraryReady() && bindingReady() && sameFile(built, installed);
}

async function make(say) {
  if (process.platform !== "linux")
    throw new SetupError(`the native engine is built on Linux (x64, arm64); here is ${process.platform}`);
  if (!existsSync(python))
    throw new SetupError("the Python environment, whose pip fetches TensorFlow, is missing (see above)");
  if (!libraryReady()) await fetchLibrary(say);
  if (!bindingReady()) await buildBinding(say);
  mkdirSync(dirname(installed), { recursive: true });
  copyFileSync(built, `${installed}.part`);
  renameSync(`${installed}.part`, installed);
  await say.during("first start", tryEngine(say));
}

/** "cuda" where an NVIDIA driver is found, else "cpu"; PROMPTSRC_CUDA=0 or 1 decides otherwise. */
function wantedBuild() {
  const said = process.env.PROMPTSRC_CUDA;
  if (said === "0" || said === "1") return said === "1" ? "cuda" : "cpu";
  const driver = existsSync("/proc/driver/nvidia/version") || existsSync("/usr/lib/wsl/lib/nvidia-smi");
  return driver ? "cuda" : "cpu";
}

async function fetchLibrary(say) {
  const build = wantedBuild();
  let got = build;
  try {
    await unpackWheels(build, say);
  } catch (error) {
    if (build !== "cuda") throw error;
    say(`the CUDA build cannot be had, the CPU build is taken (remove .engine to try again):\n${error.message}`);
    got = "cpu";
    await unpackWheels(got, say);
  }
  writeWhole(libraryStamp, JSON.stringify({ key: libraryKey(build), tensorflow, build: got }));
}

async function unpackWheels(build, say) {
  const gigabytes = build === "cuda" ? 12 : 2;
  const disk = statfsSync(root);
  if (disk.bavail * disk.bsize < gigabytes * 2 ** 30) {
    throw new SetupError(
      `the ${build} engine needs ${gigabytes} GB of free disk for a moment, and ${((disk.bavail * disk.bsize) / 2 ** 30).toFixed(1)} GB are left`,
    );
  }
  const part = join(engineFolder, "part");
  rmSync(part, { recursive: true, force: true });
  const wheels = join(part, "wheels");
  const size = build === "cuda" ? "with NVIDIA's CUDA libraries (3-4 GB)" : "(270 MB)";
  await say.during(`pip fetches TensorFlow ${tensorflow} ${size}`, download(wheels, wheelList(`tensorflow-${build}`)));
  await say.during("unpacking its shared libraries and headers", run(python, ["-c", unpack, wheels, part]));
  for (const folder of ["tensorflow", "nvidia"]) {
    rmSync(join(engineFolder, folder), { recursive: true, force: true });
    if (existsSync(join(part, folder))) renameSync(join(part, folder), join(engineFolder, folder));
  }
  rmSync(part, { recursive: true, force: true });
}

const download = (folder, requirements) =>
  run(python, [
    ...["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2", "--no-deps"],
    ...[
      "--require-hashes",
      "--only-binary=:all:",
      "--python-version",
      wheelPython,
      "--dest",
      folder,
      "-r",
      requirements,
    ],
  ]);

/** Unpacks libtensorflow, the headers that the binding includes, and NVIDIA's libraries, nothing else. */
const unpack = `
import glob, re, sys, zipfile
wanted = re.compile(r"tensorflow/libtensorflow_(cc|framework)\\.so\\.2$|tensorflow/include/(tensorflow/c|tensorflow/core/common_runtime/next_pluggable_device/c|tensorflow/core/platform|tsl/platform|xla/tsl/c)/.*\\.h$|tensorflow/include/Eigen/|nvidia/(.*\\.so(\\.[0-9]+)*|cuda_nvcc/(bin|nvvm)/.*)$")
for file in glob.glob(sys.argv[1] + "/*.whl"):
    with zipfile.ZipFile(file) as wheel:
        wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if wanted.match(name)])
`;

const native = (name) => path("src", "engine", "native", name);
const flags = ["-std=c++17", "-O2", "-fPIC", "-DNAPI_VERSION=8"];
/** Of native/kernels.cc alone: the rest runs on any processor, and asks before it calls it. */
const vectorFlags = ["-O3", "-DNDEBUG", ...(process.arch === "x64" ? ["-mavx2", "-mfma"] : [])];
const linking = ["-shared", "-pthread", "-Wl,-rpath,$ORIGIN/../../../../../.engine/tensorflow"];
const kernels = native("kernels.cc");
const sources = () => [
  ...["tfjs_backend.cc", "tfjs_binding.cc"].map((name) => join(binder, "binding", name)),
  ...["operations.cc", "minLogLevel.cc"].map(native),
];

function bindingKey() {
  const files = [...sources(), kernels, native("kernels.h"), native("threads.h")];
  if (!files.every(existsSync)) return "";
  const texts = files.map((file) => readFileSync(file));
  return hash(tensorflow, process.platform, process.arch, ...flags, ...vectorFlags, ...linking, ...texts);
}

async function buildBinding(say) {
  const library = path(".engine", "tensorflow");
  const includes = [
    path("node_modules", "node-api-headers", "include"),
    dirname(binder),
    binder,
    join(library, "include"),
  ];
  const [compiler, ...first] = await findCompiler(say);
  const part = `${built}.part`;
  const object = join(engineFolder, "kernels.o");
  const compile = (...more) =>
    run(compiler, [...first, ...flags, ...includes.map((folder) => `-I${folder}`), ...more], {
      env: {
        ZIG_GLOBAL_CACHE_DIR: join(engineFolder, "zig-cache"),
        ZIG_LOCAL_CACHE_DIR: join(engineFolder, "zig-cache"),
      },
    });
  const libraries = ["cc", "framework"].map((name) => join(library, `libtensorflow_${name}.so.2`));
  await say.during(
    `${[compiler.split("/").pop(), ...first].join(" ")} builds the kernels`,
    compile(...vectorFlags, "-c", kernels, "-o", object),
  );
  await say.during("and the binding", compile(...linking, ...sources(), object, "-o", part, ...libraries));
  rmSync(object);
  renameSync(part, built);
  writeWhole(bindingStamp, JSON.stringify({ key: bindingKey() }));
  for (const folder of ["zig", "zig-cache"]) rmSync(join(engineFolder, folder), { recursive: true, force: true });
}

/** $CXX, g++ or clang++, else the compiler inside PyPI's ziglang wheel. */
async function findCompiler(say) {
  for (const program of [process.env.CXX, "g++", "clang++", "c++"]) {
    if (program && (await ask(program, ["--version"]))) return [program];
  }
  const folder = join(engineFolder, "zig");
  try {
    await say.during(
      `no g++ or clang++ here: pip fetches the compiler ziglang ${versionOf("ziglang")} (80 MB)`,
      install(python, wheelList("ziglang"), "--upgrade", "--target", folder),
    );
  } catch (error) {
    throw new SetupError(
      `no C++ compiler is here, and ziglang cannot be fetched. Install one, on Debian or Ubuntu: sudo apt-get install g++\n${error.message}`,
    );
  }
  return [join(folder, "ziglang", "zig"), "c++"];
}

/** Loads the engine in a process of its own, so that a library that does not fit this machine is found now. */
async function tryEngine(say) {
  const program = `
    const util = require("node:util");
    util.isNullOrUndefined ??= (value) => value == null;
    util.isArray ??= Array.isArray;
    const tf = require("@tensorflow/tfjs-node-gpu");
    const sum = tf.matMul(tf.ones([2, 3]), tf.ones([3, 2])).sum().dataSync()[0];
    if (sum !== 12) throw new Error("2x3 by 3x2 ones sum to " + sum);
    console.log(tf.backend().binding.TF_Version + (tf.backend().isUsingGpuDevice ? " on the GPU" : " on the CPU"));`;
  try {
    const said = await run(process.execPath, ["-e", program], {
      env: { TF_CPP_MIN_LOG_LEVEL: "2", TF_FORCE_GPU_ALLOW_GROWTH: "true" },
    });
    say(`TensorFlow ${said.trim().split("\n").pop()} runs`);
  } catch (error) {
    rmSync(installed, { force: true });
    throw new SetupError(`the binding was built and does not run here: ${error.message}`);
  }
}
