#!/usr/bin/env python3
"""Energy and cost of a generated token: cycles of executed programs, and assumptions about power and
price, each of which is an option. On the right: what a token costs when one of them is halved or
doubled. `--assumptions` prints their table, which is the second one of docs/assumptions.md.
"""
import json
import sys

import study

# Name, value, unit, whether we assume it, origin.
ASSUMPTIONS = (
    ("chip-watts", 185, "W", False, "a GroqChip 1 at work, average: product brief"),
    ("idle-watts", 60, "W", True, "a chip that waits for its stage; unpublished"),
    ("board-watts", 55, "W", True, "the rest of a card: about 240 W typical (reseller) less the chip"),
    ("host-watts", 800, "W", True, "the host of a node, two EPYC 7313 and 1 TB; unpublished"),
    ("pue", 1.3, "", True, "power of the site over power of the machines"),
    ("usd-per-kwh", 0.10, "USD", True, "electricity"),
    ("card-usd", 20000, "USD", True, "a card bought alone (reseller, 2024); of thousands: unknown"),
    ("host-usd", 20000, "USD", True, "host and share of the rack of a node; unpublished"),
    ("years", 4, "", True, "of use"),
    ("utilisation", 0.6, "", True, "share of the time in which tokens are generated"),
)
# Model, weights, topology, sequences.
CASES = (("llama-2-7b", "int8", "groqrack", 1), ("llama-2-7b", "int8", "groqrack", 2),
         ("llama-2-7b", "fp16", "groqrack-x2", 1), ("llama-2-13b", "int8", "groqrack-x2", 1),
         ("llama-2-70b", "fp16", "groqrack-x10", 1))
SECONDS_A_YEAR = 365.25 * 86400


def table():
    lines = ["", "## Power and price", "",
             "Of `scripts/studies/energy_cost.py`, whose `--assumptions` prints this table; a test compares",
             "both. `--NAME VALUE` changes a value.", "",
             "| Name | Value | Assumed | Origin |", "|---|---|---|---|"]
    lines += [f"| {n} | {v:g}{' ' + u if u else ''} | {'yes' if assumed else 'no'} | {origin} |"
              for n, v, u, assumed, origin in ASSUMPTIONS]
    return "\n".join(lines)


def joules(row, a):
    """Of one token, with what the chips that have work, their cards and hosts draw meanwhile."""
    chips, rate = int(row["chips"]), float(row["tokens_per_second"])
    busy = float(row["busy_share"])
    watts = chips * (a["chip-watts"] * busy + a["idle-watts"] * (1 - busy) + a["board-watts"])
    return a["pue"] * (watts + chips / 8 * a["host-watts"]) / rate


def dollars(row, a):
    """Of a million tokens: electricity, and the machines over the years in which they work."""
    chips, rate = int(row["chips"]), float(row["tokens_per_second"])
    machines = chips * a["card-usd"] + chips / 8 * a["host-usd"]
    tokens = rate * a["years"] * SECONDS_A_YEAR * a["utilisation"]
    return 1e6 * (joules(row, a) / 3.6e6 * a["usd-per-kwh"] + machines / tokens)


def draw(s, cases, a):
    rows = [dict(zip(s.columns, r)) for r in s.rows.values()]
    labels = [f"{r['model']} {r['weights']}\n{r['chips']} chips, {r['sequences']} seq." for r in rows]
    plt = study.pyplot()
    figure, (energy, cost, change) = plt.subplots(1, 3, figsize=(15, 4.6))
    for axis, name, unit in ((energy, "joules_per_token", "J a token"),
                             (cost, "usd_per_million", "USD a million tokens")):
        values = [float(r[name]) for r in rows]
        bars = axis.barh(labels, values)
        axis.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
        axis.set_xlabel(unit)
        axis.set_xscale("log")
        study.numbers(axis.xaxis)
        axis.set_xlim(min(values) / 2, 3 * max(values))
        axis.invert_yaxis()
        axis.tick_params(axis="y", labelsize=7)
    row, base = rows[-1], dollars(rows[-1], a)
    for at, (name, *_) in enumerate(ASSUMPTIONS):
        for factor, colour in ((0.5, "tab:blue"), (2.0, "tab:orange")):
            value = dollars(row, {**a, name: a[name] * factor})
            change.barh(at, 100 * (value / base - 1), color=colour,
                        label=None if at else f"assumption times {factor:g}")
    change.set_yticks(range(len(ASSUMPTIONS)), [f"{n} = {a[n]:g}" for n, *_ in ASSUMPTIONS])
    change.tick_params(axis="y", labelsize=7)
    change.invert_yaxis()
    change.set_xlabel(f"cost of {row['model']} {row['weights']}, change in %")
    change.legend(fontsize=8)
    s.save(figure, "Energy and cost of a generated token; on the right, what the cost rests on")


def main():
    if "--assumptions" in sys.argv[1:]:
        print(table())
        return
    arguments = study.parse_arguments(__doc__, *[
        (f"--{n}", {"type": float, "default": float(v), "help": f"{o} (default {v:g} {u})"})
        for n, v, u, _, o in ASSUMPTIONS])
    a = {n: getattr(arguments, n.replace("-", "_")) for n, *_ in ASSUMPTIONS}
    bad = [n for n, value in a.items() if not value > 0]
    if bad:
        sys.exit(f"energy_cost: --{bad[0]} {a[bad[0]]:g}: need a number above 0")
    s = study.Study("energy_cost", ["model", "weights", "topology", "sequences", "chips",
                                    "tokens_per_second", "busy_share", "joules_per_token",
                                    "usd_per_million"], 4, arguments)
    s.notes = ["assumptions: " + ", ".join(f"{n} {v:g}" for n, v in a.items())]
    cases = (("story", "fp16", "groqnode", 1),) if arguments.quick else CASES

    def measure(model, weights, topology, sequences):
        files = s.job("run", model=model, weights=weights, tokens=1, sequences=int(sequences),
                      machine={"topology": topology})
        report = json.loads(files["report.json"])
        e = report["emulated"]
        at_work = sum(p["end_cycle"] - p["start_cycle"] for p in e["programs"])
        cycles = e["us_per_token"] * 900 * report["machine"]["stages"]
        return [report["machine"]["chips"], f"{e['tokens_per_second']:.1f}",
                f"{min(1, at_work * int(sequences) / cycles):.4f}", "", ""]

    s.measure(cases, measure)
    s.derive("joules_per_token", lambda row: f"{joules(row, a):.4g}")
    s.derive("usd_per_million", lambda row: f"{dollars(row, a):.4g}")
    draw(s, cases, a)


if __name__ == "__main__":
    main()
