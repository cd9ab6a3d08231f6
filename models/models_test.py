#!/usr/bin/python3
"""Tests of the model tools: is the reference right, are folders read as they were written?

The stories260K case compares with logits that others computed. It needs the checkpoint in
$LOCKSTEP_SHARED/models or <source dir>/../shared/models and says why it is skipped without it.
Run by hand or by ctest; needs python3-numpy, and python3-sentencepiece for the built-in model.
"""

import os
import subprocess
import sys
import tempfile
import unittest

import numpy as np

import check
import checkpoint
import corpus
import quantised

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.environ.get("LOCKSTEP_SHARED", os.path.join(HERE, "..", "..", "shared"))


def random_folder(folder, *arguments):
    subprocess.run([sys.executable, os.path.join(HERE, "make_random.py"), "--out", folder,
                    *arguments], check=True)
    return folder


def logits(folder, ids):
    model = check.Llama(folder)
    return np.array([model.step(token) for token in ids])


class CheckpointTest(unittest.TestCase):
    def test_bf16_rounds_to_nearest_and_ties_to_even(self):
        one, step = 1.0, 2.0**-7
        values = np.array([one + 0.5 * step, one + 1.5 * step, one + 0.51 * step], np.float32)
        read = checkpoint.decode(checkpoint.encode(values, "BF16"), "BF16", values.shape)
        self.assertEqual(list(read), [one, one + 2 * step, one + step])

    def test_shards_hold_the_same_model_as_one_file(self):
        with tempfile.TemporaryDirectory() as top:
            one = random_folder(f"{top}/one", "--dtype", "BF16")
            three = random_folder(f"{top}/three", "--dtype", "BF16", "--shards", "3")
            self.assertFalse(os.path.exists(f"{three}/model.safetensors"))
            np.testing.assert_array_equal(logits(one, [1, 5, 9]), logits(three, [1, 5, 9]))

    def test_same_seed_gives_same_bytes_and_another_seed_does_not(self):
        with tempfile.TemporaryDirectory() as top:
            data = []
            for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
                random_folder(f"{top}/{name}", "--seed", seed)
                with open(f"{top}/{name}/model.safetensors", "rb") as file:
                    data.append(file.read())
            self.assertEqual(data[0], data[1])
            self.assertNotEqual(data[0], data[2])


class ReferenceTest(unittest.TestCase):
    def test_repeated_kv_heads_equal_grouped_ones(self):
        with tempfile.TemporaryDirectory() as folder:
            random_folder(folder, "--heads", "6", "--kv-heads", "2", "--hidden", "36")
            grouped = logits(folder, [1, 5, 9, 3])
            config, tensors = checkpoint.load(folder)
            for name in [n for n in tensors if "k_proj" in n or "v_proj" in n]:
                heads = tensors[name].reshape(2, 6, 36)
                tensors[name] = np.repeat(heads, 3, axis=0).reshape(36, 36)
            checkpoint.save(folder, dict(config, num_key_value_heads=6), tensors, "F32")
            np.testing.assert_allclose(logits(folder, [1, 5, 9, 3]), grouped, atol=1e-12)

    def test_stories260k_logits_are_those_of_others(self):
        folder = os.path.join(SHARED, "models", "stories260K")
        if not os.path.isdir(folder):
            self.skipTest(f"no checkpoint at {folder}")
        expected = os.path.join(folder, "expected", "stories260K.once")
        with open(expected + ".ids") as file:
            prompt, generated = ([int(i) for i in line.split()[1:]] for line in file)
        got, rows = check.greedy(check.Llama(folder), prompt, len(generated), ignore_eos=True)
        self.assertEqual(got, generated)
        want = np.fromfile(expected + ".logits.f32", "<f4").reshape(rows.shape)
        self.assertLess(np.abs(rows - want).max(), 1e-3)


class QuantisedTest(unittest.TestCase):
    def test_integers_are_nearest_and_ties_go_to_even(self):
        q, scale = quantised.quantise(np.array([[254, 1, 3, -5], [0, 0, 0, 0], [-2, 1, 0.5, 0]]))
        self.assertEqual(q.tolist(), [[127, 0, 2, -2], [0, 0, 0, 0], [-127, 64, 32, 0]])
        self.assertEqual(scale.tolist(), [2, 0, 2 / 127])

    def test_every_head_is_on_one_chip(self):
        for heads, kv_heads in ((6, 2), (8, 8), (9, 3), (34, 2), (1, 1)):
            for chips in range(1, 9):
                held = [h for c in range(chips)
                        for h in quantised.heads_of(c, chips, heads, kv_heads)]
                self.assertEqual(sorted(held), list(range(heads)), (heads, kv_heads, chips))

    def test_int8_is_near_the_exact_model_and_is_not_it(self):
        with tempfile.TemporaryDirectory() as folder:
            random_folder(folder)
            exact, ids = logits(folder, [1, 5, 9, 3]), [1, 5, 9, 3]
            for chips in (1, 3):
                model = quantised.Int8Llama(folder, chips)
                error = np.abs(np.array([model.step(i) for i in ids]) - exact).max()
                self.assertGreater(error, 1e-3)
                self.assertLess(error, 0.1 * np.abs(exact).max())


class StoryTest(unittest.TestCase):
    def setUp(self):
        try:
            import sentencepiece
        except ImportError:
            self.skipTest("python3-sentencepiece is not installed")
        path = os.path.join(check.DEFAULT_MODEL, "tokenizer.model")
        self.tokenizer = sentencepiece.SentencePieceProcessor(model_file=path)

    def test_greedy_story_ends_by_itself_and_is_never_a_near_tie(self):
        model = check.Llama(check.DEFAULT_MODEL)
        prompt = [self.tokenizer.bos_id(), *self.tokenizer.encode("Once upon a time")]
        generated, rows = check.greedy(model, prompt, model.context - len(prompt))
        self.assertIn(generated[-1], model.eos)
        self.assertGreater(len(generated), 60)
        best = np.sort(rows[len(prompt) - 1:], axis=1)
        self.assertGreater((best[:, -1] - best[:, -2]).min(), 0.1)

    def test_greedy_story_uses_only_words_of_the_corpus(self):
        words = {word for text in corpus.stories(1, 2000) for word in text.split()}
        model = check.Llama(check.DEFAULT_MODEL)
        generated, _ = check.greedy(model, [self.tokenizer.bos_id()], 250)
        self.assertLessEqual(set(self.tokenizer.decode(generated).split()), words)

    def test_any_story_survives_the_tokenizer_within_the_context(self):
        for text in corpus.stories(2, 200):
            ids = self.tokenizer.encode(text)
            self.assertEqual(self.tokenizer.decode(ids), text)
            self.assertLess(len(ids) + 2, 256)


if __name__ == "__main__":
    unittest.main()
