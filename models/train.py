#!/usr/bin/python3
"""Trains the built-in model: tokenizer and Llama-shaped network, from corpus.py to a model folder.

    corpus.py --> stories --> SentencePiece BPE --> ids, packed in rows --> AdamW --> F16 files

Needs Debian's python3-torch and python3-sentencepiece; about ten minutes of one core with OpenBLAS.
Seeded: the text and the tokenizer are the same everywhere, the weights where torch's sums are.

The shape is awkward on purpose (6 heads and 2 KV heads over 8 chips, nothing a multiple of 320).
Rows start with a story and run on into the next ones: <s> story </s> <s> story </s> ...
"""

import argparse
import io
import math
import os
import time

import numpy as np
import sentencepiece
import torch
from torch import nn
from torch.nn import functional

import checkpoint
import corpus

BOS, EOS = 1, 2
HEADS, KV_HEADS, HEAD_DIM = 6, 2, 16
SHAPE = dict(hidden=96, ffn=192, layers=3, heads=HEADS, kv_heads=KV_HEADS, vocab=512, context=256)
PROMPTS = ("Once upon a time", "There was once a young owl", "Nora was a little cat",
           "By a blue pond, there lived a small")


class RmsNorm(nn.Module):
    def __init__(self, size, eps=1e-5):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x, cos, sin):
    """Rotary embedding, Hugging Face order: element i pairs with element i + head_dim / 2."""
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat((-high, low), -1) * sin


class Attention(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.q_proj = nn.Linear(hidden, HEADS * HEAD_DIM, bias=False)
        self.k_proj = nn.Linear(hidden, KV_HEADS * HEAD_DIM, bias=False)
        self.v_proj = nn.Linear(hidden, KV_HEADS * HEAD_DIM, bias=False)
        self.o_proj = nn.Linear(HEADS * HEAD_DIM, hidden, bias=False)

    def forward(self, x, cos, sin, mask):
        rows, steps, _ = x.shape
        q, k, v = (p(x).view(rows, steps, -1, HEAD_DIM).transpose(1, 2)
                   for p in (self.q_proj, self.k_proj, self.v_proj))
        k = rotate(k, cos, sin).repeat_interleave(HEADS // KV_HEADS, 1)
        v = v.repeat_interleave(HEADS // KV_HEADS, 1)
        scores = rotate(q, cos, sin) @ k.transpose(2, 3) / math.sqrt(HEAD_DIM) + mask
        return self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, steps, -1))


class Mlp(nn.Module):
    def __init__(self, hidden, ffn):
        super().__init__()
        self.gate_proj = nn.Linear(hidden, ffn, bias=False)
        self.up_proj = nn.Linear(hidden, ffn, bias=False)
        self.down_proj = nn.Linear(ffn, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, hidden, ffn):
        super().__init__()
        self.input_layernorm, self.self_attn = RmsNorm(hidden), Attention(hidden)
        self.post_attention_layernorm, self.mlp = RmsNorm(hidden), Mlp(hidden, ffn)

    def forward(self, x, *tables):
        x = x + self.self_attn(self.input_layernorm(x), *tables)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """Parameters carry the Hugging Face names without the leading "model."; the head is tied."""

    def __init__(self, hidden, ffn, layers, vocab, context, **_):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab, hidden)
        self.layers = nn.ModuleList(Layer(hidden, ffn) for _ in range(layers))
        self.norm = RmsNorm(hidden)
        frequency = 10000.0 ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
        angles = torch.arange(context)[:, None] * frequency.repeat(2)
        self.tables = (angles.cos(), angles.sin(),
                       torch.full((context, context), -math.inf).triu(1))
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(weight, std=0.05 / (math.sqrt(2 * layers) if deep else 1))

    def forward(self, ids):
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, *self.tables)
        return self.norm(x) @ self.embed_tokens.weight.T


def train_tokenizer(texts, path):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, model_type="bpe",
        vocab_size=SHAPE["vocab"], byte_fallback=True, character_coverage=1.0,
        normalization_rule_name="identity", unk_id=0, bos_id=BOS, eos_id=EOS, pad_id=-1,
        num_threads=1, minloglevel=2)
    with open(path, "wb") as out:
        out.write(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def pack(tokenizer, texts):
    """Rows of context + 1 ids. Each starts at the start of a story; the last story is cut."""
    length, rows, row = SHAPE["context"] + 1, [], []
    for ids in tokenizer.encode(texts):
        row += [BOS, *ids, EOS]
        if len(row) >= length:
            rows.append(row[:length])
            row = []
    return torch.tensor(np.array(rows, dtype=np.int64))


def learning_rate(done, peak):
    """`done` in 0..1: a short warm-up, then a cosine to nearly nothing."""
    return peak * min(done / 0.03 + 0.01, 0.5 + 0.5 * math.cos(math.pi * done))


def fit(model, rows, steps, batch, peak):
    decay = [p for p in model.parameters() if p.dim() == 2]
    plain = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.05},
                                   {"params": plain, "weight_decay": 0.0}], betas=(0.9, 0.98))
    start = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step / steps, peak)
        ids = rows[torch.arange(step * batch, (step + 1) * batch) % len(rows)]
        logits = model(ids[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step == steps - 1:
            seconds = time.monotonic() - start
            print(f"step {step} loss {loss.item():.4f} {seconds:.0f} s", flush=True)


def sample(model, tokenizer, prompt, count):
    """Greedy; printed at the end as a first look. check.py is the judge."""
    ids = [BOS, *tokenizer.encode(prompt)]
    context, model.tables = model.tables, None
    with torch.no_grad():
        while len(ids) < count and ids[-1] != EOS:
            n = len(ids)
            model.tables = (context[0][:n], context[1][:n], context[2][:n, :n])
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    model.tables = context
    return tokenizer.decode(ids)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--out", default=os.path.join(here, "story"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stories", type=int, default=40000)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--peak", type=float, default=4e-3, help="highest learning rate")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    os.makedirs(args.out, exist_ok=True)
    texts = corpus.stories(args.seed, args.stories)
    tokenizer = train_tokenizer(texts[:8000], os.path.join(args.out, "tokenizer.model"))
    rows = pack(tokenizer, texts)
    model = Llama(**SHAPE)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(rows)} rows", flush=True)
    fit(model, rows, args.steps, args.batch, args.peak)
    tensors = {f"model.{name}": p.detach().numpy() for name, p in model.named_parameters()}
    checkpoint.save(args.out, checkpoint.llama_config(**SHAPE), tensors, "F16")
    for prompt in PROMPTS:
        print(sample(model, tokenizer, prompt, SHAPE["context"]))


if __name__ == "__main__":
    main()
