"""Turns A B B A, medians with their spreads, the table and the JSON of a run."""
import json, os, platform, statistics, subprocess, sys
from . import machine
from .broker import TOP


def orders(names, pairs):
    """A B, B A, A B, ...: each once a pair."""
    return [names if pair % 2 == 0 else names[::-1] for pair in range(pairs)]


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values):
    return f"{number(statistics.median(values))} ({number(min(values))} to {number(max(values))})" if values else "-"


class Figures:
    """Every figure of every turn: `note(load, figure, column, value)`. Columns are brokers, or with and without something."""

    def __init__(self):
        self.rows, self.turns = {}, []

    def note(self, load, figure, column, value):
        if value is not None:
            self.rows.setdefault((load, figure), {}).setdefault(column, []).append(value)

    def median(self, load, figure, column):
        values = self.rows.get((load, figure), {}).get(column)
        return statistics.median(values) if values else None

    def table(self, columns, more_is_better=()):
        """A row for each figure; the ratio is of medians, the first column to the better of the others."""
        lines = ["| load | figure | " + " | ".join(columns) + " | ratio |", "| --- " * (len(columns) + 3) + "|"]
        for (load, figure), row in self.rows.items():
            first, others = row.get(columns[0]), [statistics.median(row[name]) for name in columns[1:] if name in row]
            best = (max if figure in more_is_better else min)(others) if others else None
            ratio = f"{statistics.median(first) / best:.3g}" if first and best else "-"
            lines.append(f"| {load} | {figure} | " + " | ".join(spread(row.get(name)) for name in columns) + f" | {ratio} |")
        return "\n".join(lines)

    def as_json(self):
        return [{"load": load, "figure": figure, "values": row} for (load, figure), row in self.rows.items()]


def head(foreign, sentence):
    """What every table begins with; `foreign` are the shares that others had in each turn, in percent."""
    commit = subprocess.run(["git", "-C", TOP, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    busy = sum(percent > machine.BUSY_PERCENT for percent in foreign)
    marked = f" **{busy} of {len(foreign)} turns were not alone on the machine.**" if busy else ""
    return (f"Commit {commit}, Linux {platform.release()}, {os.cpu_count()} CPUs, congestion control "
            f"{machine.congestion_control()}; {sentence} Others had at most {max(foreign, default=0.0):.1f} % of the processors."
            f"{marked} Medians (smallest to largest).")


def write(out, name, text, content):
    os.makedirs(out, exist_ok=True)
    for path, body in {name + ".md": text, name + ".json": json.dumps(content, indent=1)}.items():
        with open(os.path.join(out, path), "w") as file:
            file.write(body)
    print(text, end="")


def say(sentence):
    print(f"==> {sentence}", file=sys.stderr, flush=True)
