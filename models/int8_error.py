#!/usr/bin/python3
"""What int8 changes in the answers of emulated chips: one table a model folder.

    int8_error.py --lockstep BIN [--weights fp16|int8] [--kv fp16|int8] [--chips N] [--tokens N]
                  [--stories N] DIR...

Every figure comes from `lockstep run` on emulated chips, all in fp16 and with what is asked for in int8
(by default the weights):

    greedy ids     how many of the ids generated after a prompt are the same from the first on; and, fed
                   with the fp16 run's ids, at how many positions int8 would choose the same next id
    logits         largest and mean difference over those positions and the whole vocabulary
    loss           nats an id of stories of corpus.py, made with a seed that no training used
    exact ints     int8 weights: the same fed positions against quantised.py: from the first one on, how
                   many have all logits within 1e-4 of it. Then a value has fallen to the other side of a tie, and as
                   keys and values are kept, it stays different

Folders without tokenizer.model are fed with ids 1, 2, 3, ... Needs python3-numpy, and
python3-sentencepiece where there is a tokenizer.
"""

import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np

import checkpoint
import corpus
import quantised

STORY_SEED = 3
CLOSE = 1e-4


class Machine:
    """Emulated chips with a model, weights and KV cache in one format each."""

    def __init__(self, args, folder, weights, kv):
        self.command = [args.lockstep, "run", "--model", folder, "--topology", "groqnode",
                        "--transport", "local", "--chips", str(args.chips), "--weights", weights,
                        "--kv", kv]

    def logits(self, ids, tokens=1):
        """Logits of every position fed: `ids`, then all ids generated greedily but the last."""
        with tempfile.NamedTemporaryFile() as file:
            subprocess.run([*self.command, "--prompt-ids", ",".join(map(str, ids)), "--tokens",
                            str(tokens), "--ignore-eos", "--quiet", "--logits", file.name],
                           check=True, stdout=subprocess.DEVNULL)
            rows = np.fromfile(file.name, "<f4")
        return rows.reshape(len(ids) + tokens - 1, -1).astype(np.float64)

    def greedy(self, prompt, tokens):
        rows = self.logits(prompt, tokens)
        return [int(i) for i in np.argmax(rows[len(prompt) - 1:], axis=1)], rows

    def loss(self, texts):
        """Mean of -log p of every id but the first."""
        losses = []
        for ids in texts:
            rows = self.logits(ids[:-1])
            rows -= rows.max(axis=1, keepdims=True)
            log_p = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
            losses.extend(-log_p[np.arange(len(ids) - 1), ids[1:]])
        return np.mean(losses)


def texts_of(folder, context, count):
    """(named prompts, stories) as ids."""
    path = os.path.join(folder, "tokenizer.model")
    if not os.path.exists(path):
        return [("ids 1, 2", [1, 2])], []
    import sentencepiece
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=path)
    bos = [tokenizer.bos_id()]
    prompts = [(repr(text), bos + tokenizer.encode(text)) for text in ("Once upon a time", "")]
    stories = [bos + tokenizer.encode(text) for text in corpus.stories(STORY_SEED, count)]
    return prompts, [ids[:context] for ids in stories]


def leading(equal):
    """How many are true before the first that is not."""
    return int(np.argmin(equal)) if not np.all(equal) else len(equal)


def exact_integers(args, folder, fed, logits):
    if args.weights != "int8":
        return ""
    reference = quantised.Int8Llama(folder, args.chips)
    reference.int8_cache = args.kv == "int8"
    exact = np.array([reference.step(i) for i in fed])
    close = np.abs(logits - exact).max(axis=1) < CLOSE
    return f"; exact ints {leading(close)} of {len(fed)} positions"


def compare(args, folder):
    config, _ = checkpoint.load(folder)
    context = config.get("max_position_embeddings", 2048)
    prompts, stories = texts_of(folder, context, args.stories)
    half, int8 = Machine(args, folder, "fp16", "fp16"), Machine(args, folder, args.weights, args.kv)
    print(f"{os.path.basename(os.path.normpath(folder))}, {args.chips} chips, "
          f"weights {args.weights}, KV cache {args.kv}")
    for name, prompt in prompts:
        tokens = min(args.tokens, context + 1 - len(prompt))
        ids, rows = half.greedy(prompt, tokens)
        own, _ = int8.greedy(prompt, tokens)
        fed = prompt + ids[:-1]
        forced = int8.logits(fed)
        difference = np.abs(forced - rows)
        same = np.argmax(forced, axis=1)[len(prompt) - 1:] == ids
        print(f"  {name}: greedy ids equal {leading(np.equal(ids, own))} of {tokens}, "
              f"fed {int(same.sum())} of {tokens}; logits differ by {difference.max():.3f} at most, "
              f"{difference.mean():.4f} on average, of a spread of {rows.std():.2f}"
              + exact_integers(args, folder, fed, forced))
    if stories:
        losses = half.loss(stories), int8.loss(stories)
        print(f"  loss on {len(stories)} stories, {sum(map(len, stories))} ids: fp16 {losses[0]:.4f}, "
              f"int8 {losses[1]:.4f} ({losses[1] - losses[0]:+.4f}) nats an id")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lockstep", default="build/release/bin/lockstep", help="the executable")
    parser.add_argument("--weights", choices=("fp16", "int8"), default="int8")
    parser.add_argument("--kv", choices=("fp16", "int8"), default="fp16")
    parser.add_argument("--chips", type=int, default=8, help="of a groqnode; default 8")
    parser.add_argument("--tokens", type=int, default=100, help="to generate; default 100")
    parser.add_argument("--stories", type=int, default=8, help="for the loss; default 8")
    parser.add_argument("folders", nargs="+", metavar="DIR", help="Hugging Face folder")
    args = parser.parse_args()
    for folder in args.folders:
        compare(args, folder)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, KeyError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"int8_error.py: {error}")
