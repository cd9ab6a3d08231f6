#!/usr/bin/env python3
"""Decoding on more chips. Strong: one model, more chips; weak: as many weights a chip, so a model that
grows with them. Chips are added inside a node (tensor parallel: every matrix is cut) or as further
nodes of a rack (pipeline: layers are cut, and as many sequences are under way as there are nodes).
Efficiency is tokens a second, times the growth of the model, over chips, against the fewest chips.
"""
import study

HIDDEN, HEAD_SIZE, LAYERS = 1024, 64, 4
WIDTHS, NODES = (1, 2, 4, 8), (1, 2, 4, 8)
HEADS, FFN = 16, 2816  # of the strong model; the weak one has an eighth of it a chip


def config(heads, ffn, layers):
    return {"hidden_size": HIDDEN, "head_dim": HEAD_SIZE, "num_attention_heads": heads,
            "num_key_value_heads": heads, "intermediate_size": ffn, "num_hidden_layers": layers,
            "vocab_size": 4096}


def main():
    arguments = study.parse_arguments(__doc__)
    s = study.Study("scaling", ["by", "scaling", "units", "chips", "growth", "cycles_per_token",
                                "tokens_per_second", "weights_share", "links_share"], 3, arguments)

    def measure(by, scaling, units):
        n = int(units)
        if by == "tensor":
            growth = n if scaling == "weak" else 1
            heads, ffn = (HEADS * n // 8, FFN * n // 8) if scaling == "weak" else (HEADS, FFN)
            name, shape = f"tensor-{scaling}-{n}", config(heads, ffn, LAYERS)
            machine, more = {"topology": "groqnode", "chips": n}, {}
        else:
            growth = n if scaling == "weak" else 1
            layers = 2 * n if scaling == "weak" else 2 * NODES[-1]
            name, shape = f"pipeline-{scaling}-{n}", config(HEADS, FFN, layers)
            machine, more = {"topology": "groqrack"}, {"nodes": n, "sequences": n}
        files = s.job("run", model=s.model(name, **shape), tokens=1, context=128, machine=machine,
                      **more)
        report = study.json.loads(files["report.json"])
        e = report["emulated"]
        work = e["cycles_by_work"]
        share = lambda kind: f"{100 * work[kind] / e['cycles_per_token']:.2f}"
        # Without the host's link, whose time does not depend on the chips.
        step = max(e["cycles_per_token"], e["sequences"] * e["cycles_between_sequences"])
        return [report["machine"]["chips"], growth, e["cycles_per_token"],
                f"{e['sequences'] * 900e6 / step:.1f}", share("weights"), share("links")]

    widths, nodes = (WIDTHS[1::2], ()) if arguments.quick else (WIDTHS, NODES)
    s.measure([("tensor", k, n) for k in ("strong", "weak") for n in widths] +
              [("pipeline", k, n) for k in ("strong", "weak") for n in nodes], measure)
    plt = study.pyplot()
    panels = ["tensor"] + (["pipeline"] if nodes else [])
    figure, axes = plt.subplots(2, len(panels), figsize=(5 * len(panels), 7), squeeze=False)
    for i, by in enumerate(panels):
        for scaling, mark in (("strong", "o"), ("weak", "s")):
            where = {"by": by, "scaling": scaling}
            chips, rate = s.column("chips", **where), s.column("tokens_per_second", **where)
            work = [r * g for r, g in zip(rate, s.column("growth", **where))]
            axes[0][i].plot(chips, rate, marker=mark, label=f"{scaling} scaling")
            axes[1][i].plot(chips, [100 * w / work[0] / (c / chips[0]) for w, c in zip(work, chips)],
                            marker=mark, label=f"{scaling} scaling")
        axes[0][i].set_title("chips of a node (tensor parallel, one sequence)" if by == "tensor" else
                             "nodes of a rack (pipeline, a sequence a node)", fontsize=9)
        axes[0][i].yaxis.set_major_formatter("{x:,.0f}")
        axes[0][i].set_ylabel("tokens/s, all sequences, without host link")
        axes[1][i].set_ylabel("parallel efficiency, %")
        for axis in (axes[0][i], axes[1][i]):
            axis.set_xscale("log", base=2)
            axis.set_xticks(chips, [f"{c:g}" for c in chips])
            axis.set_xlabel("chips")
            axis.set_ylim(0, 1.08 * axis.get_ylim()[1])
            axis.legend(fontsize=8)
    s.save(figure, "Decoding on more chips: one model (strong), or as many weights a chip (weak)")


if __name__ == "__main__":
    main()
