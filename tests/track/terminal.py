"""terminal.py COLUMNSxLINES STEP... -- COMMAND...: run a command on a terminal of this size.

Steps: "see TEXT" waits until the screen shows TEXT, "gone TEXT" until it does not, "first TEXT" until
the first run begins with TEXT, "key K" presses a key (^C for Ctrl-C, Up, PageDown, ...) or types a
text, "size CxL" changes the size, "kill SIGNAL" sends a signal, "run COMMAND" runs a shell command;
"fits" checks that no line is wider and no screen longer than the terminal, "coloured" and "plain"
that there were colours or none, "paused" waits until the command is stopped and the terminal as it
was, "taken" until it has it again, "show" prints the screen.  After the last step the command must
end; its exit status is printed ("exit 0", "signal 15").  Then the terminal must be as it was: its
modes, the normal screen, the cursor.
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
KEYS = {"^C": "\3", "^Z": "\32", "Enter": "\r", "Escape": "\33", "Backspace": "\177",
        "Up": "\33[A", "Down": "\33OB", "PageUp": "\33[5~", "PageDown": "\33[6~",
        "Home": "\33[H", "End": "\33[4~"}


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

    def is_given_back():
        return termios.tcgetattr(slave) == modes and all(
            output.rfind(off) > output.rfind(on)
            for on, off in (("\033[?1049h", "\033[?1049l"), ("\033[?25l", "\033[?25h")))

    def is_stopped():
        with open(f"/proc/{process.pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(") ")[2].startswith("T")

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
        elif verb == "first":
            wait(lambda: text == frame(output).split("\r\n")[3][:len(text)], f"'{text}' on top")
        elif verb == "key":
            os.write(master, KEYS.get(text, text).encode())
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
            wide = [row for row in rows if len(row) > columns]
            assert not wide, f"wider than {columns}: {wide}"
        elif verb == "paused":
            wait(lambda: is_given_back() and is_stopped(), "waiting for it to stop")
        elif verb == "taken":
            wait(lambda: not is_given_back(), "waiting for it to go on")
        elif verb == "show":
            print(frame(output).replace("\r\n", "\n"))
    wait(lambda: process.poll() is not None, "waiting for the end")
    read(0.1)
    code = process.returncode
    print(f"exit {code}" if code >= 0 else f"signal {-code}")
    print(process.stderr.read().decode(), end="")
    assert is_given_back(), "the terminal is not as it was"


main()
