/**
 * Set-up step: the native engine. It consists of libtensorflow, taken from the TensorFlow wheel, and of the binding of
 * @tensorflow/tfjs-node-gpu, which is built against it on this machine. The package's install script would download
 * libtensorflow 2.9 from 2022, but its binding uses only the stable C interface, so a current library works. Only the
 * shared libraries and a few headers of the wheel are used, so the wheel of any CPython version works, whatever Python
 * is installed here. The kit's own kernels in src/engine/native, for operations that TensorFlow runs in many passes,
 * are compiled into the binding.
 *
 *   .engine/tensorflow/   libtensorflow_*, include/     (and .engine/nvidia/ where an NVIDIA driver is found)
 *   .engine/tfjs_binding.node, copied into node_modules
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statfsSync } from "node:fs";
import { cpus } from "node:os";
import { basename, dirname, join } from "node:path";
import { nvidiaDriver, tooOld } from "./driver.mjs";
import { platforms, unsupported } from "./platforms.mjs";
import { ask, run } from "./programs.mjs";
import { install, python } from "./python.mjs";
import { hash, path, readJson, root, SetupError, writeWhole } from "./tools.mjs";

/** Lists of exact versions with the hashes of their files; pip refuses a download whose hash is not in the list. */
const wheelList = (name) => path("bin", "setup", "wheels", `${name}.txt`);
const versionOf = (name) => new RegExp(`^${name}==(\\S+)`, "m").exec(readFileSync(wheelList(name), "utf8"))[1];
const tensorflow = versionOf("tensorflow-cpu");
const wheelPython = "3.12";
const here = platforms[`${process.platform}-${process.arch}`];

const engineFolder = path(".engine");
const installedLibrary = join(engineFolder, "tensorflow");
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
const libraryKey = (build) => hash(tensorflow, build, process.platform, process.arch, unpackCode);
const libraryReady = () =>
  readJson(libraryStamp)?.key === libraryKey(targetBuild()) &&
  existsSync(join(installedLibrary, here.library("tensorflow_cc")));
/** What the binding was built from, and what was built. */
const bindingStampOf = () => JSON.stringify({ key: bindingKey(), file: hash(readFileSync(built)) });
const bindingReady = () =>
  existsSync(built) && existsSync(bindingStamp) && readFileSync(bindingStamp, "utf8") === bindingStampOf();

function ready() {
  return here !== undefined && libraryReady() && bindingReady() && sameFile(built, installed);
}

async function make(say) {
  const { platform, arch } = process;
  const glibc = process.report.getReport().header.glibcVersionRuntime;
  const reason = unsupported({ platform, arch, processor: cpus()[0]?.model, glibc });
  if (reason) throw new SetupError(reason);
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
 * overrides this, where TensorFlow has both.
 */
function targetBuild() {
  if (!here.wheels.cuda) return "cpu";
  const setting = process.env.PROMPTSRC_CUDA;
  if (setting === "0" || setting === "1") return setting === "1" ? "cuda" : "cpu";
  const driver = nvidiaDriver();
  return driver && !tooOld(driver) ? "cuda" : "cpu";
}

async function fetchLibrary(say) {
  const build = targetBuild();
  const driver = nvidiaDriver();
  if (driver && !here.wheels.cuda)
    say("an NVIDIA driver is installed, but TensorFlow's wheel for this platform has no CUDA");
  const old = here.wheels.cuda && tooOld(driver ?? []);
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
  const size = build === "cuda" ? "with NVIDIA's CUDA libraries (3-4 GB)" : "(210 to 270 MB)";
  await say.during(`pip downloads TensorFlow ${tensorflow} ${size}`, download(wheels, here, build));
  await say.during("unpacking its shared libraries and headers", unpack(wheels, part));
  for (const folder of ["tensorflow", "nvidia"]) {
    rmSync(join(engineFolder, folder), { recursive: true, force: true });
    if (existsSync(join(part, folder))) renameSync(join(part, folder), join(engineFolder, folder));
  }
  rmSync(part, { recursive: true, force: true });
}

/** Downloads the wheels of a build for a platform into a folder. */
export const download = (folder, platform, build = "cpu") =>
  run(python, [
    ...["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2", "--no-deps"],
    ...["--require-hashes", "--only-binary=:all:", "--python-version", wheelPython],
    ...(platform.tag ? ["--platform", platform.tag] : []),
    ...["--dest", folder, "-r", wheelList(platform.wheels[build])],
  ]);

/** Unpacks from the wheels in a folder only libtensorflow, the headers that the binding includes, and NVIDIA's libraries. */
export const unpack = (wheels, folder) => run(python, ["-c", unpackCode, wheels, folder]);

const unpackCode = `
import glob, re, sys, zipfile
wanted = re.compile(r"tensorflow/libtensorflow_(cc|framework)\\.(so\\.2|2\\.dylib)$|tensorflow/include/(tensorflow/c|tensorflow/core/common_runtime/next_pluggable_device/c|tensorflow/core/platform|tsl/platform|xla/tsl/c)/.*\\.h$|tensorflow/include/Eigen/|nvidia/(.*\\.so(\\.[0-9]+)*|cuda_nvcc/(bin|nvvm)/.*)$")
for file in glob.glob(sys.argv[1] + "/*.whl"):
    with zipfile.ZipFile(file) as wheel:
        wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if wanted.match(name)])
`;

const native = (name) => path("src", "engine", "native", name);
const flags = ["-std=c++17", "-O2", "-fPIC", "-DNAPI_VERSION=8"];
const vectorFlags = (platform) => ["-O3", "-DNDEBUG", ...platform.vectorFlags];
/** From the binding's place in node_modules. */
const linking = (platform) => ["-shared", "-pthread", ...platform.linking("../../../../../.engine/tensorflow")];
const kernels = native("kernels.cc");
const sources = (platform) => [
  ...["tfjs_backend.cc", "tfjs_binding.cc"].map((name) => join(bindingPackage, "binding", name)),
  ...["operations.cc", ...platform.sources].map(native),
];

function bindingKey() {
  const files = [...sources(here), kernels, native("kernels.h"), native("threads.h")];
  if (!files.every(existsSync)) return "";
  const texts = files.map((file) => readFileSync(file));
  return hash(tensorflow, process.platform, process.arch, ...flags, ...vectorFlags(here), ...linking(here), ...texts);
}

async function buildBinding(say) {
  const part = `${built}.part`;
  await compileBinding(say, part, { compiler: await findCompiler(say) });
  renameSync(part, built);
  writeWhole(bindingStamp, bindingStampOf());
  for (const folder of ["zig", "zig-cache"]) rmSync(join(engineFolder, folder), { recursive: true, force: true });
}

/**
 * Compiles the binding into the file `output`.
 * @param compiler the program and its first options
 * @param platform which it is built for, with TensorFlow's library and headers of that platform in `library`
 * @param more flags for all files; bin/sanitize.mjs has some
 */
export async function compileBinding(
  say,
  output,
  { compiler: [compiler, ...options], platform = here, library = installedLibrary, more = [] },
) {
  const includes = [
    path("node_modules", "node-api-headers", "include"),
    dirname(bindingPackage),
    bindingPackage,
    join(library, "include"),
  ];
  const object = `${output}.kernels.o`;
  const cache = join(dirname(output), "zig-cache");
  const compile = (...own) =>
    run(compiler, [...options, ...flags, ...includes.map((folder) => `-I${folder}`), ...own, ...more], {
      env: { ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache },
    });
  const libraries = ["tensorflow_cc", "tensorflow_framework"].map((name) => join(library, platform.library(name)));
  await say.during(
    `${[basename(compiler), ...options].join(" ")} builds the kernels`,
    compile(...vectorFlags(platform), "-c", kernels, "-o", object),
  );
  await say.during(
    "and the binding",
    compile(...linking(platform), ...sources(platform), object, "-o", output, ...libraries),
  );
  rmSync(object);
}

/** The compiler: $CXX, g++ or clang++ if installed, else the one in the ziglang wheel from PyPI. */
async function findCompiler(say) {
  // Without Apple's command line tools, macOS has programs of these names that open a dialog.
  const hasCompilers = process.platform !== "darwin" || (await ask("xcode-select", ["-p"]));
  for (const program of [process.env.CXX, ...(hasCompilers ? ["g++", "clang++", "c++"] : [])]) {
    if (program && (await ask(program, ["--version"]))) return [program];
  }
  try {
    return zigFor(here, await installZig(join(engineFolder, "zig"), say));
  } catch (error) {
    throw new SetupError(
      `no C++ compiler is installed, and ziglang cannot be downloaded. Install a compiler, on Debian or Ubuntu: sudo apt-get install g++; on macOS: xcode-select --install\n${error.message}`,
    );
  }
}

/** The compiler zig for a platform, which need not be this one. */
export const zigFor = ({ target }, zig) => [zig, "c++", "-target", target];

/** Installs zig into a folder. @returns the program */
export async function installZig(folder, say) {
  await say.during(
    `pip downloads the compiler ziglang ${versionOf("ziglang")} (80 MB)`,
    install(python, wheelList("ziglang"), "--upgrade", "--target", folder),
  );
  return join(folder, "ziglang", "zig");
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
