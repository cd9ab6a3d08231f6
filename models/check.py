#!/usr/bin/python3
"""Runs a Llama-family Hugging Face folder in plain numpy: the independent reference of the project.

    check.py --model DIR [--prompt TEXT | --prompt-ids 1,2,3] [--tokens N] [--logits FILE]
             [--weights int8 --chips N] [--kv int8]

Prints ids, text and the smallest gap between the best and the second-best logit of the greedy run.
All arithmetic is in double precision on the weights as stored, so what an emulated machine prints
differs from this by that machine's rounding and by nothing else. It shares no code with the
machine, nor with train.py apart from the reader of the files. With --weights int8 the layers multiply
in the integers of the machine's int8 path instead (quantised.py).

The logits file holds one row per position fed (the prompt, then all generated ids but the last),
each of vocab_size fp32 values, little-endian. Needs python3-numpy; --prompt also needs
python3-sentencepiece.
"""

import argparse
import os
import sys

import numpy as np

import checkpoint

LARGEST = 127  # of an int8
DEFAULT_MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "story")


def rotary_frequencies(config, head_dim):
    """Radians per position for each of the head_dim / 2 pairs."""
    parameters = config.get("rope_parameters") or {}
    theta = config.get("rope_theta") or parameters.get("rope_theta") or 10000.0
    frequency = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    scaling = config.get("rope_scaling") or parameters
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return frequency
    if kind == "linear":
        return frequency / scaling["factor"]
    if kind == "llama3":
        turns = scaling["original_max_position_embeddings"] * frequency / (2 * np.pi)
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        keep = np.clip((turns - low) / (high - low), 0, 1)
        return frequency * (keep + (1 - keep) / scaling["factor"])
    raise ValueError(f"rope_scaling of type {kind!r} is not known here")


def rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x) + eps) * weight


def quantise(x):
    """Integers (as int64) and scale of a vector, or of each row of a matrix; zeros have scale 0."""
    largest = np.max(np.abs(x), axis=-1, keepdims=True)
    scaled = np.divide(x * LARGEST, largest, out=np.zeros_like(x), where=largest > 0)
    return np.rint(scaled).astype(np.int64), largest[..., 0] / LARGEST


class Llama:
    """One sequence with its KV cache. step() feeds one id and returns the logits (float64)."""

    def __init__(self, folder, mapped=False):
        """`mapped`: weights stay in their files and are converted anew in each step."""
        config, tensors = checkpoint.load(
            folder, checkpoint.map_file if mapped else checkpoint.read_file)
        unknown = [key for key in ("attention_bias", "mlp_bias") if config.get(key)]
        if unknown or config.get("hidden_act", "silu") != "silu":
            raise ValueError(f"{folder}: {unknown or config['hidden_act']} is not known here")
        self.w = tensors if mapped else {n: a.astype(np.float64) for n, a in tensors.items()}
        self.heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.heads
        self.head_dim = config.get("head_dim") or config["hidden_size"] // self.heads
        self.layers = config["num_hidden_layers"]
        self.eps = config["rms_norm_eps"]
        self.context = config.get("max_position_embeddings", 2048)
        eos = config.get("eos_token_id")
        self.eos = eos if isinstance(eos, list) else [eos]
        self.frequency = rotary_frequencies(config, self.head_dim)
        tied = config.get("tie_word_embeddings", False)
        self.head = self.w["model.embed_tokens.weight" if tied else "lm_head.weight"]
        self.int8_cache = False
        self.cache = [([], []) for _ in range(self.layers)]

    def kept(self, x):
        """Keys or values of a position, kv_heads x head_dim, as the cache keeps them."""
        if not self.int8_cache:
            return x
        q, scale = quantise(x)
        return q * scale[:, None]

    def rotate(self, x, position):
        """x: heads x head_dim; element i turns with element i + head_dim / 2."""
        cos, sin = np.cos(position * self.frequency), np.sin(position * self.frequency)
        a, b = np.split(x, 2, axis=1)
        return np.concatenate((a * cos - b * sin, b * cos + a * sin), axis=1)

    def attention(self, layer, x):
        w = {p: self.w[f"model.layers.{layer}.self_attn.{p}_proj.weight"] for p in "qkvo"}
        keys, values = self.cache[layer]
        position = len(keys)
        query = self.rotate((w["q"] @ x).reshape(self.heads, -1), position)
        keys.append(self.kept(self.rotate((w["k"] @ x).reshape(self.kv_heads, -1), position)))
        values.append(self.kept((w["v"] @ x).reshape(self.kv_heads, -1)))
        k, v = np.array(keys), np.array(values)  # positions x kv_heads x head_dim
        out = []
        for head in range(self.heads):
            group = head * self.kv_heads // self.heads
            scores = k[:, group] @ query[head] / np.sqrt(self.head_dim)
            weights = np.exp(scores - scores.max())
            out.append(weights / weights.sum() @ v[:, group])
        return w["o"] @ np.concatenate(out)

    def mlp(self, layer, x):
        gate, up, down = (self.w[f"model.layers.{layer}.mlp.{p}_proj.weight"]
                          for p in ("gate", "up", "down"))
        g = gate @ x
        return down @ (g / (1 + np.exp(-g)) * (up @ x))

    def step(self, token):
        if not 0 <= token < len(self.head):
            raise ValueError(f"token {token} is outside the vocabulary of {len(self.head)}")
        x = self.w["model.embed_tokens.weight"][token]
        for layer in range(self.layers):
            name = f"model.layers.{layer}."
            norm = self.w[name + "input_layernorm.weight"]
            x = x + self.attention(layer, rms_norm(x, norm, self.eps))
            norm = self.w[name + "post_attention_layernorm.weight"]
            x = x + self.mlp(layer, rms_norm(x, norm, self.eps))
        return self.logits(rms_norm(x, self.w["model.norm.weight"], self.eps))

    def logits(self, x):
        return self.head @ x


def greedy(model, prompt, count, ignore_eos=False):
    """(generated ids, logits of every position fed). A tie goes to the lower id."""
    if not prompt or len(prompt) + count - 1 > model.context:
        raise ValueError(f"{len(prompt)} prompt ids and {count} more do not fit: a prompt has at "
                         f"least one id and the context {model.context} places")
    rows = [model.step(token) for token in prompt]
    generated = [int(np.argmax(rows[-1]))] if count else []
    while len(generated) < count and (ignore_eos or generated[-1] not in model.eos):
        rows.append(model.step(generated[-1]))
        generated.append(int(np.argmax(rows[-1])))
    return generated, np.array(rows)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="folder; default: the built-in one")
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument("--prompt", default="Once upon a time", help="text; <s> is put before it")
    prompt.add_argument("--prompt-ids", help="ids, comma-separated, taken as they are")
    parser.add_argument("--tokens", type=int, default=60, help="ids to generate")
    parser.add_argument("--ignore-eos", action="store_true", help="go on after </s>")
    parser.add_argument("--weights", choices=("stored", "int8"), default="stored",
                        help="int8: as machines with int8 weights compute")
    parser.add_argument("--kv", choices=("stored", "int8"), default="stored",
                        help="int8: keys and values kept as integers, one scale a head and position")
    parser.add_argument("--chips", type=int, help="of --weights int8: over how many (default 1)")
    parser.add_argument("--logits", metavar="FILE", help="write positions x vocab_size fp32 values")
    args = parser.parse_args()
    if args.chips is not None and (args.weights != "int8" or not 1 <= args.chips <= 8):
        parser.error("--chips: 1 to 8, and only with --weights int8")
    return args


def main():
    args = parse_arguments()
    tokenizer = None
    if not args.prompt_ids or os.path.exists(os.path.join(args.model, "tokenizer.model")):
        import sentencepiece  # Only here: ids alone need no tokenizer.
        tokenizer = sentencepiece.SentencePieceProcessor()
        tokenizer.load(os.path.join(args.model, "tokenizer.model"))
    if args.prompt_ids:
        prompt = [int(token) for token in args.prompt_ids.split(",")]
    else:
        prompt = [tokenizer.bos_id(), *tokenizer.encode(args.prompt)]
    if args.weights == "int8":
        import quantised  # It builds on this module.
        model = quantised.Int8Llama(args.model, args.chips or 1)
    else:
        model = Llama(args.model)
    model.int8_cache = args.kv == "int8"
    generated, logits = greedy(model, prompt, args.tokens, args.ignore_eos)
    print("prompt", *prompt)
    print("generated", *generated)
    if tokenizer:
        print("text", tokenizer.decode(prompt + generated))
    if generated:
        best = np.sort(logits[len(prompt) - 1:], axis=1)[:, -2:]
        print(f"smallest gap {np.min(best[:, 1] - best[:, 0]):.3f}")
    if args.logits:
        logits.astype("<f4").tofile(args.logits)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, KeyError, OSError) as error:
        sys.exit(f"check.py: {error}")
