#!/usr/bin/env python3
"""How busy each link of a rack is: an all-reduce over its 72 chips by message size, and a token of
Llama-2-7B in int8 (`--links`). A cell is the link from one chip to another; of parallel cables the
busiest. Lines part the nodes.
"""
import csv
import io

import study

CHIPS, NODE = 72, 8
CASES = {"all-reduce of 64 KiB": ("collective", 65536), "all-reduce of 4 MiB": ("collective", 4 << 20),
         "a token of Llama-2-7B in int8": ("run", "llama-2-7b")}


def main():
    arguments = study.parse_arguments(__doc__)
    s = study.Study("link_load", ["case", "from", "port", "to", "vectors", "busy_share"], 3, arguments)
    cases = list(CASES)[:1] if arguments.quick else list(CASES)

    def measure(case):
        kind, what = CASES[case]
        machine = {"topology": "groqrack"}
        if kind == "collective":
            files = s.job(kind, kind="all_reduce", bytes=what, machine=machine)
        else:
            files = s.job(kind, model=what, tokens=1, weights="int8", machine=machine)
        return [row for row in csv.reader(io.StringIO(files["links.csv"].decode()))][1:]

    s.measure_groups(cases, measure)
    plt = study.pyplot()
    figure, axes = plt.subplots(1, len(cases), figsize=(5 * len(cases), 5), squeeze=False)
    for axis, case in zip(axes[0], cases):
        busy = [[float("nan")] * CHIPS for _ in range(CHIPS)]
        starts, ends = s.column("from", case=case), s.column("to", case=case)
        shares = s.column("busy_share", case=case)
        for a, b, share in zip(starts, ends, shares):
            old = busy[int(a)][int(b)]
            busy[int(a)][int(b)] = 100 * share if old != old else max(old, 100 * share)
        axis.set_facecolor("#eeeeee")
        image = axis.imshow(busy, cmap="magma_r", vmin=0, vmax=100 * max(shares))
        figure.colorbar(image, ax=axis, label="% of the time busy", shrink=0.75)
        axis.grid(False)
        for edge in range(0, CHIPS, NODE):
            axis.axhline(edge - 0.5, color="gray", linewidth=0.4)
            axis.axvline(edge - 0.5, color="gray", linewidth=0.4)
        ticks = range(NODE // 2, CHIPS, NODE)
        axis.set_xticks(ticks, [f"node {t // NODE}" for t in ticks], rotation=90)
        axis.set_yticks(ticks, [f"node {t // NODE}" for t in ticks])
        axis.set_xlabel("to chip (8 a node)")
        axis.set_ylabel("from chip")
        mean = 100 * sum(shares) / len(shares)
        axis.set_title(f"{case}\n{len(shares)} links {mean:.1f} % busy, busiest "
                       f"{100 * max(shares):.1f} %", fontsize=9)
    s.save(figure, "How busy the links of a rack are; grey: no cable, or between chips that have "
                   "no work")


if __name__ == "__main__":
    main()
