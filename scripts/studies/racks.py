#!/usr/bin/env python3
"""Llama-2-70B over racks, from runs of the timing engine: time of a token, where it goes, and the
time to the first token of a prompt that fills the context.

A point is one run: a flight of 32 positions of a prompt, then one token, every instruction of every
chip executed. Positions go in batches where these fit, and in groups of batches; `asked` is a batch
for which room was asked for (--prefill-batch), 0: what is left. Each position, batch or group more
takes one period more (`ctest -R "EachPositionMore|AnInbox"`), so a few say how long a prompt of n
positions takes; groups are of 32 positions at most, larger ones would take less. All nodes of the
racks are used; for fp16 each has one layer. What does not fit says by how many bytes.
"""
import json
import math
import re

import jobs
import study

NODES_A_RACK = 8
FLIGHT = 32  # positions; contexts are multiples of it
FORMATS = ("fp16", "int8")
KINDS = ("weights", "attention", "vectors", "links", "idle")
CLOCK_HZ = 900e6


def points(quick):
    """Racks, weights, KV cache, context, hop latency, batch that is asked for."""
    if quick:
        return [(r, w, kv, 128, "B", batch) for r, w, kv, batch in (
            (1, "int8", "fp16", 0), (1, "fp16", "fp16", 0), (1, "fp16", "int8", 0),
            (2, "fp16", "fp16", 0), (2, "fp16", "fp16", 8))]
    contexts, racks = (128, 512, 2048, 4096), (5, 8, 10)
    out = [(r, w, kv, c, "B", 0) for r in racks for w in ("int8", "fp16") for kv in FORMATS
           for c in contexts]
    out += [(10, "fp16", kv, c, "B", batch)
            for kv, c, batch in (("fp16", 2048, 8), ("fp16", 4096, 2), ("int8", 4096, 4))]
    return out + [(r, w, "fp16", c, hop, 0) for hop in "AC" for r in racks
                  for w in ("int8", "fp16") for c in (contexts[0], contexts[-1])]


def run(s, model, topology, nodes, weights, kv, context, hop, asked):
    """The report of a run, or how many bytes are missing: "whole layers" if only those do not fit."""
    try:
        batch = {"prefillBatch": asked} if asked else {}
        files = s.job_or_error("run", model=model, nodes=nodes, weights=weights, kvCache=kv,
                               context=context, **batch,
                               machine={"topology": topology, "hopLatency": hop}, tokens=2,
                               promptTokens=FLIGHT, promptFlight=FLIGHT, placement={"threads": 2})
    except jobs.JobFailed as error:
        missing = re.search(r"(\d+) B too few", str(error))
        if missing:
            return None, int(missing.group(1))
        if "a stage holds at most" in str(error):
            return None, "whole layers"
        raise SystemExit(f"{s.name}: {error}") from error
    return json.loads(files["report.json"]), 0


def main():
    arguments = study.parse_arguments(__doc__)
    s = study.Study("racks", ["racks", "weights", "kv", "context", "hop", "asked", "chips",
                              "bytes_too_few", "tokens_per_s_user", "token_us", "token_cycles",
                              "batch", "group", "period_cycles", "ttft_ms",
                              "weight_stream_share"] + [f"{k}_cycles" for k in KINDS] +
                    ["timing_digest"], 6, arguments)

    model = "llama-2-7b" if arguments.quick else "llama-2-70b"

    def measure(count, weights, kv, context, hop, asked):
        report, missing = run(s, model, study.racks_topology(count), int(count) * NODES_A_RACK,
                              weights, kv, int(context), hop, int(asked))
        if report is None:
            return ["", missing] + [""] * (9 + len(KINDS))
        out = report["emulated"]
        group, batch = out["prompt_group"], out["prefill_batch"]
        step, period = (group, out["cycles_between_groups"]) if group else \
                       (batch, out["cycles_between_positions"])
        assert FLIGHT % step == 0, "a flight consists of whole groups"
        left = (int(context) - FLIGHT) // step
        prompt = (out["cycles_per_batch"] + left * period) / CLOCK_HZ
        return [report["machine"]["chips"], 0, f"{out['tokens_per_second_per_user']:.1f}",
                f"{out['latency_us_per_token']:.1f}", out["cycles_per_token"], batch, group, period,
                f"{prompt * 1e3 + out['host_link_us_per_token'] / 1e3:.3f}",
                f"{out['weight_stream_share']:.4f}"] + \
               [out["cycles_by_work"][k] for k in KINDS] + [report["output"]["timing_digest"]]

    wanted = points(arguments.quick)
    s.measure(wanted, measure)
    draw(s, model, *(sorted({p[i] for p in wanted}) for i in (3, 0)))


def racks_text(count):
    return f"{count} rack{'s' if count > 1 else ''}"


def draw(s, model, contexts, racks):
    plt = study.pyplot()
    figure, (speed, first, use) = plt.subplots(1, 3, figsize=(14, 4.8), width_ratios=(1, 1, 1.3))
    usual = dict(bytes_too_few=0, hop="B", asked=0)
    fits = [(r, w) for r in racks for w in ("int8", "fp16")
            if s.column("tokens_per_s_user", racks=r, weights=w, kv="fp16", **usual)]
    lines = [(r, w, kv) for kv in FORMATS for r in racks for w in ("int8", "fp16")
             if s.column("ttft_ms", racks=r, weights=w, kv=kv, **usual)]
    for (r, w, kv), mark in zip(lines, "osd^v<>*"):
        where = dict(racks=r, weights=w, kv=kv, **usual)
        xs = s.column("context", **where)
        label = f"{w}, {racks_text(r)}" + (", int8 KV" if kv == "int8" else "")
        style = dict(marker=mark, label=label, alpha=0.8, linewidth=0.8 if kv == "int8" else 1.5,
                     linestyle="--" if w == "fp16" else "-")
        speed.plot(xs, s.column("tokens_per_s_user", **where), **style)
        first.plot(xs, s.column("ttft_ms", **where), **style)
    for axes, label in ((speed, "tokens/s of one user"),
                        (first, "first token of a prompt that fills the context, ms")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(contexts, [str(c) for c in contexts])
        axes.set_xlabel("context, positions (hop latency B)")
        axes.set_ylabel(label)
        study.legend_above(axes, 2)
    speed.set_ylim(0, 1.08 * speed.get_ylim()[1])
    first.set_yscale("log")
    low, high = map(math.log10, first.get_ylim())
    first.set_ylim(10 ** math.floor(low), 10 ** math.ceil(high))
    study.numbers(first.yaxis)
    names = [f"{w}\n{racks_text(r)}\n{c}" for r, w in fits for c in (contexts[0], contexts[-1])]
    bottom = [0.0] * len(names)
    for kind in KINDS:
        cycles = [s.column(f"{kind}_cycles", racks=r, weights=w, kv="fp16", context=c, **usual)[0] /
                  CLOCK_HZ * 1e3 for r, w in fits for c in (contexts[0], contexts[-1])]
        use.bar(names, cycles, bottom=bottom, label=kind)
        bottom = [a + b for a, b in zip(bottom, cycles)]
    use.set_ylabel("a token, ms")
    use.set_ylim(0, 1.05 * max(bottom))
    use.set_xlabel("weights, racks, context")
    use.grid(axis="x", visible=False)
    use.tick_params(axis="x", labelsize=7)
    study.legend_above(use, len(KINDS))
    s.save(figure, f"{model} over racks, a sequence at a time: what a user sees, and where a token's "
                   "time goes")


if __name__ == "__main__":
    main()
