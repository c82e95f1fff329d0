#!/usr/bin/env python3
"""make_bad.py DIR SECTION: inputs that a tool must refuse.

A section is a module beside this file with a function cases() that yields (name, content, why):
content is bytes, or a function that makes the file at a path; why is what the tool must say about
it after "TOOL: FILE: ", as a glob of the shell.  Writes DIR/NAME for each case, and DIR.list with
one line "NAME<TAB>WHY".  Nothing here is random: the same cases every time.  tests/bad.bats gives
them to the tools, also to those built with sanitizers.
"""
import importlib
import os
import sys


sys.dont_write_bytecode = True


def main(folder, section):
    os.makedirs(folder)
    names = set()
    with open(folder + ".list", "w", encoding="utf-8") as listing:
        for name, content, why in importlib.import_module(section).cases():
            assert name not in names and "\t" not in name + why and "\n" not in why, name
            names.add(name)
            path = os.path.join(folder, name)
            if callable(content):
                content(path)
            else:
                with open(path, "wb") as file:
                    file.write(content)
            listing.write(f"{name}\t{why}\n")


main(*sys.argv[1:])
