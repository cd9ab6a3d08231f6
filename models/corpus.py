#!/usr/bin/python3
"""Writes the training text of the built-in model: short stories from a seeded grammar of our own.

A story is told in nine steps, each knowing what the earlier ones chose:

    opening  home  habit  wish  trouble  attempt  helper  fix  ending
    kind ----place                thing-----------skill-----how

The trouble fits the thing (a kite sticks in a tree, a clock stops) and the helper fits the trouble
(an owl flies up, a bear lifts), so the text has something to learn beyond word order.

Choices are skewed on purpose. In each list one option takes more than half of the weight, and which
one it is depends on the hero or the thing. A model trained on this is sure of its greedy choice,
and the rounding of fp16 arithmetic has no near tie to upset; other prompts give other stories.

Same seed, same bytes: only random.Random.random() and CRC-32 decide. One story a line.
"""

import argparse
import random
import zlib

SKEW = 0.45  # Weight of an option relative to the one ranked before it; below 1/2, see above.

NAMES = {  # name -> (he, his, him)
    name: words
    for words, names in (
        (("he", "his", "him"), "Pip Tom Ben Max Sam Otto Finn Hugo"),
        (("she", "her", "her"), "Mia Lulu Nora Ada Zoe Ella Ruby Ivy"),
    )
    for name in names.split()
}

HOMES = {  # kind of hero -> where such a hero may live
    "robot": ["in a quiet workshop", "in a tall tower", "in a house full of clocks"],
    "fox": ["in a green forest", "under an old oak tree", "on a sunny hill"],
    "mouse": ["in a tiny house", "under the floor of a school", "in a quiet workshop"],
    "cat": ["in a red house by the sea", "on a small farm", "in a tiny house"],
    "frog": ["by a blue pond", "in a garden by the river", "under a wooden bridge"],
    "bear": ["in a cave on a hill", "in a green forest", "by a blue pond"],
    "duck": ["by a blue pond", "on a small farm", "in a garden by the river"],
    "owl": ["in an old oak tree", "in a tall tower", "in a green forest"],
}

HABITS = [
    "Every day {he} walked to the river and back, one step at a time.",
    "Every morning {he} counted the birds and sang a song.",
    "{He} liked to play in the sun with {his} friends.",
    "{He} liked to look at the stars and give them names.",
    "{He} worked hard all day and slept well at night.",
    "{He} was small, but {he} was very brave.",
]

WHEN = ["One day", "One morning", "One windy day", "One cold day", "In the spring"]

# thing -> (its adjective, the wish, skill that helps, troubles, attempts)
THINGS = {
    "kite": ("yellow", "wanted to fly {his} {thing}", "fly",
             ["The wind took the {thing} and it got stuck in a tall tree.",
              "The {thing} flew too high and landed on the roof."],
             ["{name} jumped and jumped, but {he} could not reach it.",
              "{He} threw a stick at it, but the {thing} did not come down."]),
    "ball": ("red", "played with a {thing}", "fly",
             ["{He} kicked the {thing} so hard that it landed on the roof.",
              "The {thing} went up and got stuck in a tall tree."],
             ["{name} jumped and jumped, but {he} could not reach it.",
              "{He} looked for a ladder, but there was none."]),
    "cart": ("blue", "wanted to bring apples home in {his} {thing}", "lift",
             ["A wheel of the {thing} sank into the mud.",
              "The {thing} rolled down the hill and fell into a ditch."],
             ["{name} pulled with all {his} strength, but the {thing} did not move.",
              "{He} pushed and pushed, but it was too heavy."]),
    "boat": ("little", "built a {thing} out of wood", "lift",
             ["The {thing} was ready, but the water was far away.",
              "A big rock lay in the way, so the {thing} could not reach the water."],
             ["{name} pulled with all {his} strength, but nothing moved.",
              "{He} pushed and pushed, but it was too heavy."]),
    "clock": ("old", "found a {thing}", "mend",
             ["The {thing} did not tick, and both its hands stood still.",
              "The {thing} ran too fast, and nobody knew the right time."],
             ["{name} shook it, but that did not help.",
              "{He} turned the key, but the {thing} only went click."]),
    "drum": ("big", "wanted to play {his} {thing}", "mend",
             ["The {thing} had a hole in it and made no sound.",
              "The sticks of the {thing} were broken."],
             ["{name} used some paper, but it did not hold.",
              "{He} tried to tap with a spoon, but it sounded bad."]),
    "key": ("golden", "looked for {his} {thing}", "find",
             ["The {thing} was gone, and the door was shut.",
              "The {thing} had dropped into the long grass."],
             ["{name} looked under every leaf, but {he} could not see it.",
              "{He} looked here and there until it was almost dark."]),
    "bell": ("silver", "looked for {his} {thing}", "find",
             ["The {thing} had rolled under the stairs, where it was dark.",
              "The {thing} had dropped into the long grass."],
             ["{name} looked in every corner, but {he} could not see it.",
              "{He} listened for a long time, but all was quiet."]),
}

# skill -> (kinds of helper, what the helper says, how it is done, what is good again)
SKILLS = {
    "fly": (["owl", "crow", "duck"],
            ["I have wings. I will get it for you.", "Wait here. I can fly."],
            "flew up, took the {thing} and brought it down",
            "{name} held the {thing} and smiled."),
    "lift": (["bear", "horse", "robot"],
             ["I am strong. Let us do it together.", "Two are stronger than one."],
             "counted to three, and they pushed at the same time",
             "At last the {thing} moved."),
    "mend": (["robot", "mouse", "beaver"],
             ["I can mend it. I have the right tools.", "Let me look at it."],
             "opened a box of tools and mended the {thing}",
             "Now the {thing} was as good as new."),
    "find": (["dog", "cat", "owl"],
             ["I have good eyes. I will find it.", "Let us look again, step by step."],
             "looked once more and found the {thing}",
             "The {thing} was shining in the light."),
}

OPENINGS = [
    "Once upon a time, there was a little {kind} named {name}. {He} lived {home}.",
    "There was once a young {kind} named {name} who lived {home}.",
    "{Home}, there lived a small {kind}. {His} name was {name}.",
    "{name} was a little {kind} who lived {home}.",
]
COMES = [
    "Then {a_helper} named {friend} came by.",
    "Just then, {friend} the {helper} came down the road.",
    "{friend} the {helper} heard {him} and came to help.",
]
FEELS = ["{name} was sad.", "{name} did not know what to do.", "{name} sat down and thought."]
THANKS = [
    '"Thank you, {friend}!" said {name}.',
    '"You are a good friend," said {name}.',
    '{name} was so happy that {he} danced.',
]
ENDINGS = [
    "From that day on, {name} and {friend} were best friends.",
    "Then they walked home together, step by step.",
    "They shared a cake and told stories until the moon came up.",
    "And {name} learned that hard things are easy with a friend.",
]


def pick(rng, options, *keys):
    """One of `options`; the favourite, and the order of the rest, depend on `keys`."""
    ranked = sorted(options, key=lambda o: zlib.crc32("|".join((*keys, o)).encode()))
    point = rng.random() * sum(SKEW**i for i in range(len(ranked)))
    for i, option in enumerate(ranked):
        point -= SKEW**i
        if point < 0:
            return option
    return ranked[-1]


def upper_first(text):
    return text[0].upper() + text[1:]


def article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def early(rng, options, power):
    """One of `options`, the earlier the likelier: half of all stories start "Once upon a time"."""
    return options[int(rng.random() ** power * len(options))]


def story(rng):
    """One story: a string of sentences without line breaks."""
    kind = early(rng, list(HOMES), 1.5)
    name = pick(rng, NAMES, "name", kind)
    he, his, him = NAMES[name]
    home = pick(rng, HOMES[kind], "home", kind)
    thing = pick(rng, THINGS, "thing", kind)
    adjective, wish, skill, troubles, attempts = THINGS[thing]
    helpers, offers, deed, result = SKILLS[skill]
    helper = pick(rng, [h for h in helpers if h != kind], "helper", thing)
    friend = pick(rng, [n for n in NAMES if n != name], "friend", helper)
    slots = dict(kind=kind, name=name, he=he, his=his, him=him, He=upper_first(he),
                 His=upper_first(his), home=home, Home=upper_first(home), thing=thing,
                 helper=helper, a_helper=article(helper), friend=friend)
    attempt = pick(rng, attempts, "attempt", thing)
    offer = pick(rng, offers, "offer", helper)
    wish = wish.replace("a {thing}", article(adjective) + " {thing}").replace(
        "{his} {thing}", "{his} " + adjective + " {thing}")
    sentences = [
        early(rng, OPENINGS, 2),
        pick(rng, HABITS, "habit", kind),
        f"{pick(rng, WHEN, 'when', thing)}, {{name}} {wish}.",
        pick(rng, troubles, "trouble", thing),
        attempt,
        pick(rng, FEELS, "feel", attempt),
        pick(rng, COMES, "comes", helper),
        f'"{offer}" said {{friend}}.' if offer[-1] != "." else f'"{offer[:-1]}," said {{friend}}.',
        "{friend} " + deed + ".",
        result,
        pick(rng, THANKS, "thanks", helper),
        pick(rng, ENDINGS, "ending", thing),
    ]
    return " ".join(sentence.format(**slots) for sentence in sentences)


def stories(seed, count):
    rng = random.Random(seed)
    return [story(rng) for _ in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=5, help="stories to print")
    args = parser.parse_args()
    for line in stories(args.seed, args.count):
        print(line)


if __name__ == "__main__":
    main()
