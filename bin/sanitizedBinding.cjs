// Loaded before all else by bin/sanitize.mjs: the binding of tfjs-node is taken from PROMPTSRC_BINDING.
const load = process.dlopen;
process.dlopen = (module, file, ...rest) =>
  load(module, file.endsWith("tfjs_binding.node") ? process.env.PROMPTSRC_BINDING : file, ...rest);
