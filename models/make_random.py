#!/usr/bin/python3
"""Writes a Llama-shaped Hugging Face folder of random weights, for tests at awkward shapes.

    make_random.py --out DIR --seed 7 --hidden 72 --heads 6 --kv-heads 2 --dtype BF16 --shards 3

Same arguments, same bytes, on every host: the weights are uniform numbers of the frozen Mersenne
Twister of numpy, scaled by sums, products and roots only, which IEEE rounds alike everywhere. Their
spread keeps the residual stream near one and the logits at a standard deviation near two, so that a
wrong result is told from a right one and no softmax saturates. There is no tokenizer: give prompts
as ids. Needs python3-numpy.
"""

import argparse
import math
import sys

import numpy as np

import checkpoint


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, help="folder to write")
    for name, default in (("seed", 1), ("hidden", 64), ("ffn", 172), ("layers", 2), ("heads", 4),
                          ("kv-heads", 2), ("vocab", 105), ("context", 128), ("shards", 1)):
        parser.add_argument("--" + name, type=int, default=default, help=f"default {default}")
    parser.add_argument("--head-dim", type=int, help="default hidden / heads")
    parser.add_argument("--dtype", choices=checkpoint.ITEM_BYTES, default="F32")
    parser.add_argument("--tied", action="store_true", help="the head is the embedding")
    args = parser.parse_args()
    least = {"seed": 0}
    for name, value in vars(args).items():
        if isinstance(value, int) and value < least.get(name, 1) and name != "tied":
            parser.error(f"--{name.replace('_', '-')} is {value}")
    if args.heads % args.kv_heads:
        parser.error(f"{args.heads} heads do not share {args.kv_heads} KV heads evenly")
    if args.head_dim is None and args.hidden % args.heads:
        parser.error(f"hidden {args.hidden} is no multiple of {args.heads} heads: give --head-dim")
    args.head_dim = args.head_dim or args.hidden // args.heads
    if args.head_dim % 2:
        parser.error(f"head dimension {args.head_dim} is odd, rotary embedding works on pairs")
    return args


def make_tensors(args):
    """Name -> checkpoint.Blocks, in Hugging Face order: they take their numbers one after the other."""
    state = np.random.RandomState(args.seed)

    def parts(mean, spread, items):
        for begin in range(0, items, checkpoint.BLOCK_ITEMS):
            sample = state.random_sample(min(checkpoint.BLOCK_ITEMS, items - begin))
            yield (mean + spread * math.sqrt(12) * (sample - 0.5)).astype(np.float32)

    def uniform(mean, spread, *shape):
        """Values with this mean and standard deviation."""
        return checkpoint.Blocks(shape, parts(mean, spread, math.prod(shape)))

    def matrix(rows, columns, gain=1.0):
        return uniform(0, gain / math.sqrt(columns), rows, columns)

    hidden, ffn = args.hidden, args.ffn
    query, key = args.heads * args.head_dim, args.kv_heads * args.head_dim
    # Keeps the stream near one however many layers add to it. With a tied head it is wanted larger,
    # or the last token's own embedding would win every greedy choice.
    deep = (2.1 if args.tied else 0.7) / math.sqrt(args.layers)
    head_spread = 2 / math.sqrt(hidden)
    tensors = {"model.embed_tokens.weight":
               uniform(0, head_spread if args.tied else 1.0, args.vocab, hidden)}
    for layer in range(args.layers):
        for name, array in (
                ("input_layernorm", uniform(1, 0.2, hidden)),
                ("self_attn.q_proj", matrix(query, hidden)),
                ("self_attn.k_proj", matrix(key, hidden)),
                ("self_attn.v_proj", matrix(key, hidden)),
                ("self_attn.o_proj", matrix(hidden, query, deep)),
                ("post_attention_layernorm", uniform(1, 0.2, hidden)),
                ("mlp.gate_proj", matrix(ffn, hidden)),
                ("mlp.up_proj", matrix(ffn, hidden)),
                ("mlp.down_proj", matrix(hidden, ffn, 2 * deep))):
            tensors[f"model.layers.{layer}.{name}.weight"] = array
    tensors["model.norm.weight"] = uniform(1, 0.2, hidden)
    if not args.tied:
        tensors["lm_head.weight"] = uniform(0, head_spread, args.vocab, hidden)
    return tensors


def main():
    args = parse_arguments()
    config = checkpoint.llama_config(args.hidden, args.ffn, args.layers, args.heads, args.kv_heads,
                                     args.vocab, args.context, args.head_dim, args.tied)
    tensors = make_tensors(args)
    if args.shards > len(tensors):
        sys.exit(f"make_random.py: {args.shards} shards for {len(tensors)} tensors")
    checkpoint.save(args.out, config, tensors, args.dtype, args.shards)


if __name__ == "__main__":
    main()
