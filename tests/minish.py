"""The part of a shell that this suite's scripts need, for systems without one: `python minish.py SCRIPT [WORD...]`.

Sequences, `&`, redirections, the variables of a command, and a dozen commands. What it does not know ends it with 127 and a line
on stderr, so that no test can pass by accident. It writes bytes as a shell does: no `\\r` before a newline.
"""

import os
import re
import subprocess
import sys
import time

OUT, ERR = 1, 2


class Exit(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Shell:
    def __init__(self, words):
        self.words = words
        self.status = 0
        self.background = []

    def run(self, script):
        for part, sign in pieces(script):
            if sign == "&":
                self.background.append(self.beside(part))
            elif not (sign == "&&" and self.status):
                self.status = self.simple(part)

    def beside(self, text):
        """A shell for `text` that nobody waits for; it reads nothing, and holds of our streams what is not redirected."""
        text, streams, opened = (text, {}, []) if text.startswith("while ") else self.redirected(text)
        streams = {"stdin": subprocess.DEVNULL, "stdout": streams.get(OUT, OUT), "stderr": streams.get(ERR, ERR)}
        try:
            return subprocess.Popen([sys.executable, __file__, text, *self.words], **streams)
        finally:
            for number in opened:
                os.close(number)

    def simple(self, text):
        loop = re.match(r"while (.*?); do (.*); done$", text)
        if loop:
            while True:
                self.run(loop[1])
                if self.status:
                    return 0
                self.run(loop[2])
        text, streams, opened = self.redirected(text)
        try:
            return self.perform(text, streams)
        finally:
            for number in opened:
                os.close(number)

    def perform(self, text, streams):
        words = self.split(text)
        if not words:
            return 0
        if words[0] in ("exec", "setsid"):
            status = self.command(words[1:], streams) if len(words) > 1 else self.adopt(streams)
            if words[0] == "exec" and len(words) > 1:
                raise Exit(status)
            return status
        return self.command(words, streams)

    def split(self, text):
        """The words; what stands in single quotes is not expanded."""
        words, word, at, started = [], "", 0, False
        while at < len(text):
            mark = text[at]
            if mark in "'\"":
                end = text.index(mark, at + 1)
                inside = text[at + 1 : end]
                word += inside if mark == "'" else self.expanded(inside)
                at, started = end, True
            elif mark.isspace():
                if started:
                    words.append(word)
                word, started = "", False
            else:
                end = at
                while end < len(text) and not text[end].isspace() and text[end] not in "'\"":
                    end += 1
                word += self.expanded(text[at:end])
                at, started = end - 1, True
            at += 1
        return [*words, word] if started else words

    def expanded(self, word):
        def value(match):
            name = match[1] or match[2]
            if name == "$":
                return str(os.getpid())
            if name == "!":
                return str(self.background[-1].pid)
            if name.isdigit():
                return self.words[int(name) - 1] if int(name) <= len(self.words) else ""
            name, _, default = name.partition("-")
            return os.environ.get(name, default)

        return re.sub(r"\$(?:\{([^}]*)\}|(\$|!|\d|\w+))", value, word)

    def redirected(self, text):
        """The text without its redirections, {descriptor: where it goes now}, and what was opened for that."""
        streams, opened = {}, []

        def take(match):
            if match["quoted"]:
                return match[0]
            sign, target = match["sign"], self.expanded(match["target"].strip("\"'"))
            number = int(match["number"] or (0 if sign == "<" else OUT))
            if target.startswith("&"):
                streams[number] = None if target == "&-" else streams.get(int(target[1:]), int(target[1:]))
            else:
                mode = {
                    "<": os.O_RDONLY,
                    ">": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
                    ">>": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
                }
                binary = getattr(os, "O_BINARY", 0)
                opened.append(os.open(os.devnull if target == "/dev/null" else target, mode[sign] | binary, 0o666))
                streams[number] = opened[-1]
            return ""

        quoted = r"(?P<quoted>'[^']*'|\"[^\"]*\")"
        redirection = r"(?P<number>[12]?)(?P<sign>>>|>|<)\s*(?P<target>&-|&\d|\"[^\"]*\"|'[^']*'|[^\s;&<>]+)"
        return re.sub(f"{quoted}|{redirection}", take, text).strip(), streams, opened

    def adopt(self, streams):
        for number, target in streams.items():
            os.close(number) if target is None else os.dup2(target, number)
        return 0

    def command(self, words, streams):
        name, *arguments = words
        out = streams.get(OUT, OUT)
        known = getattr(self, "do_" + {":": "true", "[": "test"}.get(name, name), None)
        if known is None:
            os.write(ERR, f"minish: {name}: not known\n".encode())
            raise Exit(127)
        return known(arguments, out) or 0

    def do_true(self, arguments, out):
        pass

    def do_echo(self, arguments, out):
        write(out, " ".join(arguments).encode() + b"\n")

    def do_printf(self, arguments, out):
        text = arguments[0] % tuple(arguments[1:]) if "%s" in arguments[0] else arguments[0]
        escapes = {"n": b"\n", "r": b"\r", "t": b"\t", "f": b"\f", "v": b"\v", "\\": b"\\"}
        raw = text.encode("utf-8", "surrogateescape")
        raw = re.sub(rb"\\([0-7]{1,3})", lambda match: bytes([int(match[1], 8)]), raw)
        write(out, re.sub(rb"\\([nrtfv\\])", lambda match: escapes[match[1].decode()], raw))

    def do_exit(self, arguments, out):
        raise Exit(int(arguments[0]) if arguments else self.status)

    def do_sleep(self, arguments, out):
        time.sleep(float(arguments[0]))

    def do_cat(self, arguments, out):
        while True:
            data = os.read(0, 65536)
            if not data:
                return
            write(out, data)

    def do_head(self, arguments, out):
        write(out, b"\0" * int(arguments[1]))  # head -c N /dev/zero

    def do_test(self, arguments, out):
        if arguments[:2] != ["!", "-e"] or len(arguments) != 4:
            raise SystemExit(f"minish: [ {arguments}: not known")
        return 1 if os.path.exists(arguments[2]) else 0  # [ ! -e FILE ]

    def do_mv(self, arguments, out):
        os.replace(*arguments)

    def do_pwd(self, arguments, out):
        write(out, os.getcwd().encode() + b"\n")

    def do_env(self, arguments, out):
        write(out, "".join(f"{name}={value}\n" for name, value in os.environ.items()).encode())

    def do_wait(self, arguments, out):
        for process in self.background:
            process.wait()

    def do_trap(self, arguments, out):
        """Nobody can be asked here."""


def write(out, data):
    while data:
        data = data[os.write(out, data) :]


def pieces(script):
    """(simple command, how it ends) of a sequence, with quotes and loops kept whole."""
    text, quote, depth = "", "", 0
    found = []
    at = 0
    while at < len(script):
        mark = script[at]
        if quote:
            quote = "" if mark == quote else quote
        elif mark in "'\"":
            quote = mark
        elif script.startswith("while ", at):
            depth += 1
        elif script.startswith("done", at) and depth:
            depth -= 1
        sign = ""
        if not quote and not depth:
            if script.startswith("&&", at):
                sign = "&&"
            elif mark == ";" or (mark == "&" and not text.rstrip().endswith((">", "<"))):
                sign = mark
        if sign:
            found.append((text.strip(), sign))
            text = ""
            at += len(sign)
            continue
        text += mark
        at += 1
    found.append((text.strip(), ";"))
    return [
        (text, "&" if sign == "&" else "&&" if index and found[index - 1][1] == "&&" else ";")
        for index, (text, sign) in enumerate(found)
        if text
    ]


if __name__ == "__main__":
    if os.name == "nt":
        import msvcrt

        for descriptor in (0, 1, 2):
            try:
                msvcrt.setmode(descriptor, os.O_BINARY)
            except OSError:
                pass
    shell = Shell(sys.argv[2:])
    try:
        shell.run(sys.argv[1])
    except Exit as leaving:
        os._exit(leaving.code)
    os._exit(shell.status)
