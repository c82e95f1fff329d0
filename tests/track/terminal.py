"""terminal.py COLUMNSxLINES STEP... -- COMMAND...: run a command on a terminal of this size.

Steps: "see TEXT" waits until the screen shows TEXT, "gone TEXT" until it does not, "key K" presses
a key (^C for Ctrl-C), "size CxL" changes the size, "kill SIGNAL" sends a signal, "run COMMAND" runs
a shell command; "fits" checks that no line is wider and no screen longer than the terminal,
"coloured" and "plain" that there were colours or none.  After the last step the command must end;
its exit status is printed ("exit 0", "signal 15").  Then the terminal must be as it was: its modes,
the normal screen, the cursor.
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

SECONDS = 60


def frame(text):
    """What the last drawing put on the screen, without escape sequences."""
    last = text.rpartition("\033[?7l\033[H")[2]
    return re.sub(r"\033\[[0-9;?]*[a-zA-Z]", "", last)


def main():
    split = sys.argv.index("--")
    size, steps, command = sys.argv[1], sys.argv[2:split], sys.argv[split + 1:]
    master, slave = pty.openpty()
    modes = termios.tcgetattr(slave)
    output = ""

    def resize(text):
        columns, lines = map(int, text.split("x"))
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        return columns, lines

    columns, lines = resize(size)
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=subprocess.PIPE)

    def read(seconds):
        nonlocal output
        if select.select([master], [], [], seconds)[0]:
            output += os.read(master, 65536).decode()

    def wait(holds, what):
        end = time.monotonic() + SECONDS
        while not holds():
            assert time.monotonic() < end, f"{what}; the screen is:\n{frame(output)}"
            read(0.1)

    for step in steps:
        verb, _, text = step.partition(" ")
        if verb == "see":
            wait(lambda: text in frame(output), f"waiting for '{text}'")
        elif verb == "gone":
            wait(lambda: text not in frame(output), f"waiting for '{text}' to go")
        elif verb == "key":
            os.write(master, {"^C": b"\x03"}.get(text, text.encode()))
        elif verb == "size":
            columns, lines = resize(text)
            output = ""
            process.send_signal(signal.SIGWINCH)
            wait(lambda: "\033[?7h" in output, "waiting for a drawing")
        elif verb == "kill":
            process.send_signal(getattr(signal, "SIG" + text))
        elif verb == "run":
            subprocess.run(text, shell=True, check=True)
        elif verb in ("coloured", "plain"):
            has_colours = re.search("\033\\[[0-9;]*m", output) is not None
            assert has_colours == (verb == "coloured"), verb
        elif verb == "fits":
            rows = frame(output).split("\r\n")
            assert len(rows) <= lines, f"{len(rows)} lines on {lines}"
            wide = [row for row in rows[1:] if len(row) > columns]
            assert not wide, f"wider than {columns}: {wide}"
    wait(lambda: process.poll() is not None, "waiting for the end")
    read(0.1)
    code = process.returncode
    print(f"exit {code}" if code >= 0 else f"signal {-code}")
    print(process.stderr.read().decode(), end="")
    assert termios.tcgetattr(slave) == modes, "the modes of the terminal have changed"
    for on, off in (("\033[?1049h", "\033[?1049l"), ("\033[?25l", "\033[?25h")):
        assert output.rfind(off) > output.rfind(on), f"{off!r} is missing at the end"


main()
