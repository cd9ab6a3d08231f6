"""The reference of the int8 path: the integers of a machine that multiplies in int8, in plain numpy.

What the machine does to values is done here, too, by other means:

    weights      q k v o gate up down: int8, one scale a row, round(w * 127 / max |row|)
    activations  of each chip's part of a vector: int8, round(x * 127 / max |x|), one scale for each
                 group of its words of 320: of norms 2, 4, 8, .. words, from both ends inwards (the
                 largest group first, where it meets q, k and v), of the product of gate and up the
                 last quarter apart from the rest
    fp16         embedding, head, and what the machine rounds to it: the last norm, queries, keys,
                 values, probabilities, the output of attention, the product of gate and up
    the rest     double precision here, fp32 there

So logits differ from the machine's by its fp32 rounding, and where that tips a value over a tie of
fp16 or int8. It shares no code with the machine; `chips` matters since each chip quantises its own
part of the vectors that meet "o" and "down".
"""

import numpy as np

import check
from check import quantise

TINY = 1e-30
WORD = 320
FEW = 4  # words that are not cut into groups
INT8_MATRICES = ("q", "k", "v", "o", "gate", "up", "down")


def half(x):
    return np.asarray(x).astype(np.float16).astype(np.float64)


def growing(words):
    """Sizes of groups: 2, 4, 8, .. and what is left."""
    sizes = []
    while words > 0:
        size = 2 << len(sizes)
        sizes.append(words if words < 2 * size else size)
        words -= sizes[-1]
    return sizes


def columns_of(words, columns):
    return [c for w in words for c in range(w * WORD, min((w + 1) * WORD, columns))]


def norm_groups(columns, late):
    """Columns of a norm that share a scale."""
    words = -(-columns // WORD)
    order = [w // 2 if w % 2 == 0 else words - 1 - w // 2 for w in range(words)]
    groups = []
    for size in reversed(growing(words)) if late else growing(words):
        groups.append(columns_of(order[:size], columns))
        order = order[size:]
    return groups


def ffn_groups(columns, words):
    """Indices into a chip's `columns` that share a scale; words: what a chip has room for."""
    first = words if words < FEW else words - words // 4
    return [g for g in (columns[:first * WORD], columns[first * WORD:]) if g]


def part(total, parts, index):
    """The index-th of consecutive parts whose sizes differ by at most one."""
    return range(total * index // parts, total * (index + 1) // parts)


def heads_of(chip, chips, heads, kv_heads):
    """Query heads of a chip: those of its KV heads; chips share a KV head where there are fewer."""
    group, sharing = heads // kv_heads, max(1, chips // kv_heads)
    if sharing == 1:
        mine = part(kv_heads, chips, chip)
        return [h for kv in mine for h in range(kv * group, kv * group + group)]
    kv = chip // sharing
    if kv >= kv_heads:
        return []
    return [kv * group + h for h in part(group, sharing, chip % sharing)]


class Int8Llama(check.Llama):
    """check.Llama with the roundings of `chips` machines whose layers multiply in int8."""

    def __init__(self, folder, chips=1):
        super().__init__(folder)
        self.int8 = {}
        for name in list(self.w):
            if "_proj." in name:
                self.int8[name] = quantise(self.w.pop(name))
            elif "embed_tokens" in name or "lm_head" in name:
                self.w[name] = half(self.w[name])
        self.head = half(self.head)
        head_dim, some = self.head_dim, next(n for n in self.int8 if "down_proj" in n)
        ffn = self.int8[some][0].shape[1]
        self.head_shards = [
            [h * head_dim + i for h in heads_of(c, chips, self.heads, self.kv_heads)
             for i in range(head_dim)] for c in range(chips)]
        words = -(-(-(-ffn // chips)) // WORD)
        self.ffn_shards = [g for c in range(chips)
                           for g in ffn_groups(list(part(ffn, chips, c)), words)]

    def product(self, name, x, late):
        """W x for a norm x that all chips have."""
        return self.sharded(name, x, norm_groups(len(x), late))

    def sharded(self, name, x, shards):
        """W x, each shard of x quantised by itself."""
        w, row_scale = self.int8[name]
        y = np.zeros(len(row_scale))
        for columns in shards:
            if columns:
                q, scale = quantise(x[columns])
                y += (w[:, columns] @ q) * row_scale * scale
        return y

    def attention(self, layer, x):
        name = f"model.layers.{layer}.self_attn."
        q, k, v = (self.product(f"{name}{p}_proj.weight", x, late=True) for p in "qkv")
        keys, values = self.cache[layer]
        position = len(keys)
        query = half(self.rotate(q.reshape(self.heads, -1), position) / np.sqrt(self.head_dim))
        keys.append(self.kept(half(self.rotate(k.reshape(self.kv_heads, -1), position))))
        values.append(self.kept(half(v.reshape(self.kv_heads, -1))))
        k, v = np.array(keys), np.array(values)
        out = []
        for head in range(self.heads):
            group = head * self.kv_heads // self.heads
            scores = k[:, group] @ query[head]
            weights = np.exp(scores - scores.max())
            if self.int8_cache:  # rounded with the largest value of each position, not by itself
                largest = np.maximum(np.abs(v[:, group]).max(axis=1), TINY)
                out.append(half(half(weights * largest) / largest @ v[:, group] / weights.sum()))
                continue
            weights = half(weights)
            out.append(half(weights @ v[:, group] / weights.sum()))
        return self.sharded(f"{name}o_proj.weight", np.concatenate(out), self.head_shards)

    def mlp(self, layer, x):
        name = f"model.layers.{layer}.mlp."
        g, up = (self.product(f"{name}{p}_proj.weight", x, late=False) for p in ("gate", "up"))
        return self.sharded(f"{name}down_proj.weight", half(g / (1 + np.exp(-g)) * up),
                            self.ffn_shards)

    def logits(self, x):
        return self.head @ half(x)
