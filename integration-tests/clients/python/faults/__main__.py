"""Puts real faults on a node, on a real file system: one kind, or all of them.

Usage: python -m faults KIND --node BINARY [--rounds N] [--seed S] [--port P] [--dir DIR] [--seconds S]
"""
import argparse
import importlib
import os
import shutil
import signal
import sys
import tempfile

KINDS = ["power", "full", "fsync", "flip", "pause", "clock"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("kind", choices=[*KINDS, "all"])
    parser.add_argument("--node", required=True)
    parser.add_argument("--rounds", type=int, help="instead of each kind's own number")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=19192)
    parser.add_argument("--dir", help="where images and logs lie; a temporary directory if missing")
    parser.add_argument("--seconds", type=float, default=10, help="how long a pause lasts")
    options = parser.parse_args()
    # Nodes end and images are unmounted when the interpreter exits, however it was told to.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    base = options.dir or tempfile.mkdtemp(prefix="cauce-faults-")
    code = 0
    for kind in KINDS if options.kind == "all" else [options.kind]:
        directory = os.path.join(base, kind)
        os.makedirs(directory)
        failed = importlib.import_module(f"faults.{kind}").main(options, directory)
        code |= failed
        if failed:
            print(f"{kind}: the node's directory and log stay in {directory}")
    if not code and not options.dir:
        # Images are unmounted by their kinds; only files are left.
        shutil.rmtree(base)
    sys.exit(code)


if __name__ == "__main__":
    main()
