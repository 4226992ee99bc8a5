/**
 * Set-up step: the native engine. It consists of libtensorflow, taken from the TensorFlow wheel, and of the binding of
 * @tensorflow/tfjs-node-gpu, which is built against it on this machine. The package's install script would download
 * libtensorflow 2.9 from 2022, but its binding uses only the stable C interface, so a current library works. Only the
 * shared libraries and a few headers of the wheel are used, so the wheel of any CPython version works, whatever Python
 * is installed here. The kit's own kernels in src/engine/native, for operations that TensorFlow runs in many passes,
 * are compiled into the binding.
 *
 *   .engine/tensorflow/   libtensorflow_*.so.2, include/     (and .engine/nvidia/ where an NVIDIA driver is found)
 *   .engine/tfjs_binding.node, copied into node_modules
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statfsSync } from "node:fs";
import { dirname, join } from "node:path";
import { nvidiaDriver, tooOld } from "./driver.mjs";
import { ask, run } from "./programs.mjs";
import { install, python } from "./python.mjs";
import { hash, path, readJson, root, SetupError, writeWhole } from "./tools.mjs";

/** Lists of exact versions with the hashes of their files; pip refuses a download whose hash is not in the list. */
const wheelList = (name) => path("bin", "setup", "wheels", `${name}.txt`);
const versionOf = (name) => new RegExp(`^${name}==(\\S+)`, "m").exec(readFileSync(wheelList(name), "utf8"))[1];
const tensorflow = versionOf("tensorflow-cpu");
const wheelPython = "3.12";

const engineFolder = path(".engine");
const libraryStamp = join(engineFolder, "library.json");
const built = join(engineFolder, "tfjs_binding.node");
const bindingStamp = join(engineFolder, "binding.json");
const bindingPackage = path("node_modules", "@tensorflow", "tfjs-node-gpu");
const installed = join(bindingPackage, "lib", "napi-v8", "tfjs_binding.node");

export const engine = {
  name: "native engine",
  ready,
  make,
  optional: "Without it the WebAssembly engine runs: the same numbers, several times slower.",
};

const sameFile = (a, b) => existsSync(a) && existsSync(b) && readFileSync(a).equals(readFileSync(b));
const libraryKey = (build) => hash(tensorflow, build, process.platform, process.arch, unpack);
const libraryReady = () =>
  readJson(libraryStamp)?.key === libraryKey(targetBuild()) &&
  existsSync(path(".engine", "tensorflow", "libtensorflow_cc.so.2"));
/** What the binding was built from, and what was built. */
const bindingStampOf = () => JSON.stringify({ key: bindingKey(), file: hash(readFileSync(built)) });
const bindingReady = () =>
  existsSync(built) && existsSync(bindingStamp) && readFileSync(bindingStamp, "utf8") === bindingStampOf();

function ready() {
  return libraryReady() && bindingReady() && sameFile(built, installed);
}

async function make(say) {
  if (process.platform !== "linux")
    throw new SetupError(`the native engine can only be built on Linux (x64, arm64); this is ${process.platform}`);
  if (!existsSync(python))
    throw new SetupError("the Python environment, whose pip downloads TensorFlow, is missing (see above)");
  if (!libraryReady()) await fetchLibrary(say);
  if (!bindingReady()) await buildBinding(say);
  mkdirSync(dirname(installed), { recursive: true });
  copyFileSync(built, `${installed}.part`);
  renameSync(`${installed}.part`, installed);
  await say.during("first start", tryEngine(say));
}

/**
 * The build to install: "cuda" if an NVIDIA driver is found that is new enough, else "cpu". PROMPTSRC_CUDA=0 or 1
 * overrides this.
 */
function targetBuild() {
  const setting = process.env.PROMPTSRC_CUDA;
  if (setting === "0" || setting === "1") return setting === "1" ? "cuda" : "cpu";
  const driver = nvidiaDriver();
  return driver && !tooOld(driver) ? "cuda" : "cpu";
}

async function fetchLibrary(say) {
  const build = targetBuild();
  const old = tooOld(nvidiaDriver() ?? []);
  if (old) say(`${old}; ${build === "cuda" ? "PROMPTSRC_CUDA=1 installs it all the same" : "using the CPU build"}`);
  let installedBuild = build;
  try {
    await unpackWheels(build, say);
  } catch (error) {
    if (build !== "cuda") throw error;
    say(`the CUDA build cannot be installed; using the CPU build (remove .engine to try again):\n${error.message}`);
    installedBuild = "cpu";
    await unpackWheels(installedBuild, say);
  }
  writeWhole(libraryStamp, JSON.stringify({ key: libraryKey(build), tensorflow, build: installedBuild }));
}

async function unpackWheels(build, say) {
  const gigabytes = build === "cuda" ? 12 : 2;
  const disk = statfsSync(root);
  if (disk.bavail * disk.bsize < gigabytes * 2 ** 30) {
    throw new SetupError(
      `the ${build} engine needs ${gigabytes} GB of free disk space during set-up, but only ${((disk.bavail * disk.bsize) / 2 ** 30).toFixed(1)} GB are free`,
    );
  }
  const part = join(engineFolder, "part");
  rmSync(part, { recursive: true, force: true });
  const wheels = join(part, "wheels");
  const size = build === "cuda" ? "with NVIDIA's CUDA libraries (3-4 GB)" : "(270 MB)";
  await say.during(
    `pip downloads TensorFlow ${tensorflow} ${size}`,
    download(wheels, wheelList(`tensorflow-${build}`)),
  );
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

/** Python code: unpacks only libtensorflow, the headers that the binding includes, and NVIDIA's libraries. */
const unpack = `
import glob, re, sys, zipfile
wanted = re.compile(r"tensorflow/libtensorflow_(cc|framework)\\.so\\.2$|tensorflow/include/(tensorflow/c|tensorflow/core/common_runtime/next_pluggable_device/c|tensorflow/core/platform|tsl/platform|xla/tsl/c)/.*\\.h$|tensorflow/include/Eigen/|nvidia/(.*\\.so(\\.[0-9]+)*|cuda_nvcc/(bin|nvvm)/.*)$")
for file in glob.glob(sys.argv[1] + "/*.whl"):
    with zipfile.ZipFile(file) as wheel:
        wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if wanted.match(name)])
`;

const native = (name) => path("src", "engine", "native", name);
const flags = ["-std=c++17", "-O2", "-fPIC", "-DNAPI_VERSION=8"];
/**
 * Compiler flags of native/kernels.cc only. All other code runs on any processor, and checks that the processor has
 * these instructions before it calls the kernels.
 */
const vectorFlags = ["-O3", "-DNDEBUG", ...(process.arch === "x64" ? ["-mavx2", "-mfma"] : [])];
const linking = ["-shared", "-pthread", "-Wl,-rpath,$ORIGIN/../../../../../.engine/tensorflow"];
const kernels = native("kernels.cc");
const sources = () => [
  ...["tfjs_backend.cc", "tfjs_binding.cc"].map((name) => join(bindingPackage, "binding", name)),
  ...["operations.cc", "functions.cc", "minLogLevel.cc", "gpuOptions.cc"].map(native),
];

function bindingKey() {
  const files = [...sources(), kernels, native("kernels.h"), native("threads.h")];
  if (!files.every(existsSync)) return "";
  const texts = files.map((file) => readFileSync(file));
  return hash(tensorflow, process.platform, process.arch, ...flags, ...vectorFlags, ...linking, ...texts);
}

async function buildBinding(say) {
  const part = `${built}.part`;
  await compileBinding(say, part, await findCompiler(say));
  renameSync(part, built);
  writeWhole(bindingStamp, bindingStampOf());
  for (const folder of ["zig", "zig-cache"]) rmSync(join(engineFolder, folder), { recursive: true, force: true });
}

/** Compiles the binding into `output`; bin/sanitize.mjs adds flags of its own to those of all files. */
export async function compileBinding(say, output, [compiler, ...options], more = []) {
  const library = path(".engine", "tensorflow");
  const includes = [
    path("node_modules", "node-api-headers", "include"),
    dirname(bindingPackage),
    bindingPackage,
    join(library, "include"),
  ];
  const object = `${output}.kernels.o`;
  const compile = (...own) =>
    run(compiler, [...options, ...flags, ...includes.map((folder) => `-I${folder}`), ...own, ...more], {
      env: {
        ZIG_GLOBAL_CACHE_DIR: join(engineFolder, "zig-cache"),
        ZIG_LOCAL_CACHE_DIR: join(engineFolder, "zig-cache"),
      },
    });
  const libraries = ["cc", "framework"].map((name) => join(library, `libtensorflow_${name}.so.2`));
  await say.during(
    `${[compiler.split("/").pop(), ...options].join(" ")} builds the kernels`,
    compile(...vectorFlags, "-c", kernels, "-o", object),
  );
  await say.during("and the binding", compile(...linking, ...sources(), object, "-o", output, ...libraries));
  rmSync(object);
}

/** The compiler: $CXX, g++ or clang++ if installed, else the one in the ziglang wheel from PyPI. */
async function findCompiler(say) {
  for (const program of [process.env.CXX, "g++", "clang++", "c++"]) {
    if (program && (await ask(program, ["--version"]))) return [program];
  }
  const folder = join(engineFolder, "zig");
  try {
    await say.during(
      `no g++ or clang++ is installed: pip downloads the compiler ziglang ${versionOf("ziglang")} (80 MB)`,
      install(python, wheelList("ziglang"), "--upgrade", "--target", folder),
    );
  } catch (error) {
    throw new SetupError(
      `no C++ compiler is installed, and ziglang cannot be downloaded. Install a compiler, on Debian or Ubuntu: sudo apt-get install g++\n${error.message}`,
    );
  }
  return [join(folder, "ziglang", "zig"), "c++"];
}

/** Loads the engine in a separate process, so that a library that does not work on this machine is detected now. */
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
    const output = await run(process.execPath, ["-e", program], {
      env: { TF_CPP_MIN_LOG_LEVEL: "2", TF_FORCE_GPU_ALLOW_GROWTH: "true" },
    });
    say(`TensorFlow ${output.trim().split("\n").pop()} runs`);
  } catch (error) {
    rmSync(installed, { force: true });
    throw new SetupError(`the binding was built but does not run on this machine: ${error.message}`);
  }
}
