#!/usr/bin/env python3
"""How much an all-reduce of eight chips depends on what is not known for sure: the three published
readings of the hop latency (presets A, B, C), and latencies of units on the chip that are assumed,
halved and half as much again (`lockstep collective`).
"""
import re

import study

# Name, preset, factor on assumed latencies.
CASES = (("A", "A", 1.0), ("B", "B", 1.0), ("C", "C", 1.0),
         ("B -50%", "B", 0.5), ("B +50%", "B", 1.5))
LABELS = {"A": "preset A", "B": "preset B (default)", "C": "preset C",
          "B -50%": "B, units' latencies halved",
          "B +50%": "B, units' latencies half as much again"}
UNITS = ("read", "write", "receive", "send", "add", "or")


def latencies():
    """Defaults of UNITS from docs/assumptions.md, which is `lockstep isa --assumptions`."""
    found = {}
    for line in (study.ROOT / "docs" / "assumptions.md").read_text().splitlines():
        cells = [c.strip(" `") for c in line.strip("|").split("|")]
        if len(cells) > 1 and cells[0] in UNITS and re.fullmatch(r"\d+", cells[1]):
            found[cells[0]] = int(cells[1])
    return found


def main():
    arguments = study.parse_arguments(__doc__)
    s = study.Study("hop_latency", ["case", "bytes", "cycles", "time_us", "busbw_GBps"], 2,
                    arguments)
    defaults = latencies()
    if set(defaults) != set(UNITS):
        raise SystemExit(f"hop_latency: latencies found: {sorted(defaults)}, wanted: {UNITS}")
    sizes = [2 ** k for k in (range(10, 19, 4) if arguments.quick else range(8, 24))]
    cases = {name: (preset, factor) for name, preset, factor in CASES}

    def measure(case, size):
        preset, factor = cases[case]
        machine = {"hopLatency": preset}
        if factor != 1:
            machine["latencies"] = [f"{unit}={max(1, round(cycles * factor))}"
                                    for unit, cycles in defaults.items()]
        report = s.collective("groqnode", "all_reduce", int(size), **machine)
        return [report["cycles"], f"{report['time_us']:.3f}", f"{report['busbw_GBps']:.3f}"]

    s.measure([(case, size) for case in cases for size in sizes], measure)
    plt = study.pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.8))
    for case in cases:
        us = s.column("time_us", case=case)
        left.plot(sizes, us, marker=".", label=LABELS[case])
        base = s.column("time_us", case="B")
        right.plot(sizes, [100 * (a / b - 1) for a, b in zip(us, base)], marker=".",
                   label=LABELS[case])
    left.set_yscale("log")
    study.numbers(left.yaxis)
    left.set_ylabel("all-reduce of 8 chips, us")
    right.set_ylabel("time, % more or less than with preset B")
    for a in (left, right):
        study.size_axis(a)
        study.legend_above(a, 2)
    s.save(figure, "An all-reduce of eight chips by hop latency and by assumed latencies of units")


if __name__ == "__main__":
    main()
