#!/usr/bin/env python3
"""An all-reduce of a fixed message (strong scaling) and of a fixed share a chip (weak scaling) over
node, racks and systems, and how long the emulator takes for it (`lockstep collective`). Times of the
emulated machine are the same on every host; the emulator's are those of this one.
"""
import study

TOPOLOGIES = ("groqnode", "groqrack", "dragonfly-264", "groqrack-x8", "groqrack-x10")
STRONG, WEAK = 65536, 1280  # bytes of the message; bytes a chip


def main():
    arguments = study.parse_arguments(__doc__)
    s = study.Study("chips", ["scaling", "topology", "chips", "bytes", "time_us", "busbw_GBps",
                              "link_share", "compile_s", "verify_s", "run_s"], 2, arguments)
    topologies = TOPOLOGIES[:2] if arguments.quick else TOPOLOGIES
    points = [("strong", t) for t in topologies]
    # Compiling a word of each chip of hundreds takes minutes.
    points += [("weak", t) for t in topologies[:1 if arguments.quick else 3]]

    def measure(scaling, topology):
        # A chip's share needs their number, which the point before it has.
        chips = int(s.rows["strong", topology][2]) if scaling == "weak" else 0
        r = s.collective(topology, "all_reduce", WEAK * chips if chips else STRONG)
        host = r["host"]
        return [r["chips"], r["bytes"], f"{r['time_us']:.3f}", f"{r['busbw_GBps']:.3f}",
                f"{100 * r['link_share']:.2f}", f"{host['compile_seconds']:.3f}",
                f"{host['verify_seconds']:.3f}", f"{host['run_seconds']:.3f}"]

    s.measure(points, measure)
    plt = study.pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2))
    for scaling, label in (("strong", f"{STRONG >> 10} KiB in all"), ("weak", f"{WEAK} B a chip")):
        chips = s.column("chips", scaling=scaling)
        left.plot(chips, s.column("time_us", scaling=scaling), marker="o", label=label)
    left.set_ylabel("all-reduce, us (emulated)")
    left.set_xscale("log")
    left.set_yscale("log")
    study.numbers(left.yaxis)
    left.set_yticks([1, 2, 5, 10, 20])
    left.set_ylim(1, 20)
    counts = [int(c) for c in s.column("chips", scaling="strong")]
    left.set_xticks(counts, [f"{c}" for c in counts], fontsize=8, rotation=45)
    left.set_xticks([], minor=True)
    left.set_xlabel("chips")
    bottom = [0.0] * len(topologies)
    names = [f"{t}\n{c} chips" for t, c in zip(topologies, counts)]
    for part in ("compile", "verify", "run"):
        seconds = s.column(f"{part}_s", scaling="strong")
        right.bar(names, seconds, bottom=bottom, label=part)
        bottom = [a + b for a, b in zip(bottom, seconds)]
    right.set_ylabel(f"the emulator's time on this host for {STRONG >> 10} KiB, s")
    right.tick_params(axis="x", labelsize=7)
    right.grid(axis="x", visible=False)
    left.legend(fontsize=8, loc="upper left")
    right.legend(fontsize=8)
    s.save(figure, "An all-reduce over more and more chips, and how long the emulator takes for it")


if __name__ == "__main__":
    main()
