"""Prints as JSON what a compiled binding is: python readBinding.py <binding> <TensorFlow's libraries>

imports: of which library each imported function is, as far as the files tell. In an ELF file an import has no library:
it is looked for among the exports of TensorFlow's, and another one with a version is the C library's. In a Mach-O file the
linker has written down the library of each import, or none if it is to be found when the file is loaded.
"""
import json
import os
import sys

import lief


def elf(file, libraries):
    def read(file):
        config = lief.ELF.ParserConfig()
        config.parse_symtab_symbols = config.parse_relocations = config.parse_notes = config.parse_overlay = False
        return lief.ELF.parse(file, config)

    def exported(binary):
        return {symbol.name for symbol in binary.dynamic_symbols if symbol.exported}

    binary = read(file)
    exports = {os.path.basename(name): exported(read(name)) for name in libraries}
    imports = [s for s in binary.dynamic_symbols if s.shndx == 0 and s.binding == lief.ELF.Symbol.BINDING.GLOBAL]

    def origin(symbol):
        version = symbol.symbol_version
        name = version.symbol_version_auxiliary.name if version and version.has_auxiliary_version else None
        return next((library for library, names in exports.items() if symbol.name in names), name)

    return {
        "format": "ELF",
        "processor": binary.header.machine_type.name,
        "libraries": list(binary.libraries),
        "runPaths": [e.runpath for e in binary.dynamic_entries if isinstance(e, lief.ELF.DynamicEntryRunPath)],
        "exports": list(exported(binary)),
        "imports": {symbol.name: origin(symbol) for symbol in imports},
    }


def mach_o(file):
    binary = lief.MachO.parse(file, lief.MachO.ParserConfig.quick).at(0)
    own = lief.MachO.LoadCommand.TYPE.ID_DYLIB
    libraries = [os.path.basename(library.name) for library in binary.libraries if library.command != own]
    symbols = [s for s in binary.symbols if not s.raw_type & 0xE0 and s.raw_type & 1]  # external, not for debuggers
    imports = [s for s in symbols if s.raw_type & 0x0E == 0]

    def origin(symbol):
        number = symbol.library_ordinal  # 254: to be found when the file is loaded
        return libraries[number - 1] if 1 <= number <= len(libraries) else None

    return {
        "format": "Mach-O",
        "processor": binary.header.cpu_type.name,
        "libraries": libraries,
        "runPaths": [entry.path for entry in binary.rpaths],
        "signed": binary.has_code_signature,
        "exports": [s.name.removeprefix("_") for s in symbols if s not in imports],
        "imports": {s.name.removeprefix("_"): origin(s) for s in imports},
    }


binding, *libraries = sys.argv[1:]
print(json.dumps(elf(binding, libraries) if lief.is_elf(binding) else mach_o(binding)))
