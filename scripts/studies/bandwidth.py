#!/usr/bin/env python3
"""Bus bandwidth of collectives by message size: eight emulated chips of a node, executed, beside
eight GPUs under NCCL, simulated (`lockstep compare`). Above in GB/s, below as share of each machine's
channels, where the distance is what "an A100 system needs about 3 times the channel bandwidth" means.
"""
import study

CHANNELS = {"lockstep": 87.5, "dgx-a100": 300.0, "dgx-h100": 450.0}  # GB/s each way
ROUND = 32 << 20
COLLECTIVES = ("all_reduce", "all_gather")


def main():
    arguments = study.parse_arguments(__doc__)
    s = study.Study("bandwidth", ["collective", "baseline", "bytes", "lockstep_time_us",
                                  "lockstep_busbw_GBps", "baseline_time_us",
                                  "baseline_busbw_GBps"], 3, arguments)
    sizes = [2 ** k for k in (range(5, 21, 5) if arguments.quick else range(5, 34))]
    baselines = ("dgx-a100",) if arguments.quick else ("dgx-a100", "dgx-h100")

    fetched = {}

    def ask(collective, baseline, together):
        files = s.job("collectiveSweep", kinds=[collective], bytes=together, baseline=baseline,
                      machine={"topology": "groqnode"})
        for row in study.table(files["report.csv"]):
            fetched[collective, baseline, row["bytes"]] = [row[c] for c in s.columns[3:]]

    def measure(collective, baseline, size):
        # Large messages are rounds of 32 MiB: asked for together, a round is executed once.
        if (collective, baseline, size) not in fetched:
            ask(collective, baseline,
                [int(size)] if int(size) < ROUND else [n for n in sizes if n >= ROUND])
        return fetched[collective, baseline, size]

    s.measure([(c, b, size) for c in COLLECTIVES for b in baselines for size in sizes], measure)
    plt = study.pyplot()
    figure, axes = plt.subplots(2, 2, figsize=(10, 7.2))
    for i, collective in enumerate(COLLECTIVES):
        where = {"collective": collective, "baseline": baselines[0]}
        curves = [("lockstep", "8 chips of a node (executed)", s.column("lockstep_busbw_GBps", **where))]
        for b in baselines:
            curves.append((b, f"8 GPUs, {b}, NCCL (simulated)",
                           s.column("baseline_busbw_GBps", collective=collective, baseline=b)))
        for machine, label, busbw in curves:
            axes[0][i].plot(sizes, busbw, marker=".", label=label)
            axes[1][i].plot(sizes, [100 * b / CHANNELS[machine] for b in busbw], marker=".",
                            label=f"{label}, of {CHANNELS[machine]:g} GB/s")
        axes[0][i].set_title(collective.replace("_", "-"))
        axes[0][i].set_yscale("log")
        study.numbers(axes[0][i].yaxis)
        axes[0][i].set_ylabel("bus bandwidth, GB/s")
        axes[1][i].set_ylabel("bus bandwidth, % of channel bandwidth")
        # A switch that adds carries more than its ports; room for the legend above.
        axes[1][i].set_ylim(0, 135)
        for a, place in ((axes[0][i], "lower right"), (axes[1][i], "upper left")):
            study.size_axis(a)
            a.legend(fontsize=7, loc=place)
    s.save(figure, "Bandwidth of collectives by message size: eight chips of a GroqNode beside "
                   "eight GPUs")


if __name__ == "__main__":
    main()
