"""memcheck.py INPUTS TOOL...: no tool depends on bytes that were never set, writes them, or reads what is not its
own (valgrind); those that compute do so on ref and, where that was built, on the cpu."""

import os
import shutil
import subprocess
import sys

from subjects import TOOLS, words_of

MEMCHECK = "valgrind -q --error-exitcode=99 --track-origins=yes".split()


def commands(tool):
    command = TOOLS[tool]
    yield command
    if "--device ref" in command and os.environ["HAVE_DNNL"] == "1":
        yield command.replace("--device ref", "--device cpu")


def main():
    inputs, *tools = sys.argv[1:]
    is_wrong = False
    for command in [command for tool in tools for command in commands(tool)]:
        shutil.rmtree("made", ignore_errors=True)
        os.mkdir("made")
        done = subprocess.run([*MEMCHECK, *words_of(command, inputs)], stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode != 0 or done.stderr:
            print(f"{command}: exit status {done.returncode}", done.stderr.decode(errors="replace"), sep="\n")
            is_wrong = True
    sys.exit(is_wrong)


main()
