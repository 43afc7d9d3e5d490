"""Make the lm-eval task group "effmark_mini": four subtasks small enough for a CPU.

    python scripts/make_tasks.py [--out suites/effmark_suites/tasks/effmark_mini] [--check]

Every item is built from make_tasks_words.yaml with a fixed seed, so the same files come out on
every machine; --check only compares. An item has a query, the choices and the index of the right
one: grammar 2 choices (an ungrammatical twin), the others 4.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

SEED = 20_261_122
HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "suites/effmark_suites/tasks/effmark_mini"
GROUP = "effmark_mini"
GRAMMAR_ITEMS_PER_KIND = 20
ARITHMETIC_ITEMS_PER_KIND = 20
PATTERN_ITEMS_PER_KIND = 24

Words = dict[str, Any]
Draft = tuple[str, str, list[str]]
"""Query, right answer, wrong answers."""
Maker = Callable[[random.Random, Words], Draft]


# Grammar: a sentence and its ungrammatical twin, one word or the order apart.


def agreement(rng: random.Random, words: Words) -> Draft:
    """Return a pair that differs in the number of the verb, across two distracting nouns."""
    number = rng.randrange(2)
    noun = rng.choice(words["nouns"])[number]
    first, second = (pair[1 - number] for pair in rng.sample(words["things"], 2))
    verb, adjective = ("is", "are"), rng.choice(words["adjectives"])
    start = f"The {noun} {rng.choice(['near', 'behind', 'beside'])} the {first} and the {second}"
    return "", f"{start} {verb[number]} {adjective}.", [f"{start} {verb[1 - number]} {adjective}."]


def relative_agreement(rng: random.Random, words: Words) -> Draft:
    """Return a pair whose verb follows a relative clause with a noun of the other number."""
    number = rng.randrange(2)
    noun, other = rng.choice(words["nouns"])[number], rng.choice(words["nouns"])[1 - number]
    verb = rng.choice(words["present"])
    start = f"The {noun} that the {other} met yesterday"
    return "", f"{start} {verb[number]}.", [f"{start} {verb[1 - number]}."]


def determiner(rng: random.Random, words: Words) -> Draft:
    """Return a pair that differs in the number of the noun after this or these."""
    number = rng.randrange(2)
    noun, name = rng.choice(words["things"]), rng.choice(words["names"])
    start = f"{name} has bought {('this', 'these')[number]} {rng.choice(['old', 'new', 'small'])}"
    return "", f"{start} {noun[number]}.", [f"{start} {noun[1 - number]}."]


def reflexive(rng: random.Random, words: Words) -> Draft:
    """Return a pair that differs in the reflexive pronoun, across a noun of the other gender."""
    gender = rng.randrange(2)
    people, pronouns = (words["men"], words["women"]), ("himself", "herself")
    verb = rng.choice(words["reflexive_verbs"])
    start = f"The {rng.choice(people[gender])} who met the {rng.choice(people[1 - gender])} {verb}"
    return "", f"{start} {pronouns[gender]}.", [f"{start} {pronouns[1 - gender]}."]


def duration(rng: random.Random, words: Words) -> Draft:
    """Return a pair that differs in for or since."""
    length = rng.randrange(2)
    time = rng.choice(
        (["last year", "Monday", "May"], ["two weeks", "ten years", "an hour"])[length]
    )
    did = rng.choice(["worked here", "lived there", "slept", "waited", "been ill", "known us"])
    start, forms = f"The {rng.choice(words['nouns'])[0]} has {did}", ("since", "for")
    return "", f"{start} {forms[length]} {time}.", [f"{start} {forms[1 - length]} {time}."]


def participle(rng: random.Random, words: Words) -> Draft:
    """Return a pair that differs in the form of an irregular verb."""
    right, wrong = rng.choice(words["participles"])
    start = f"The {rng.choice(words['nouns'])[0]} has {rng.choice(['already ', 'never ', ''])}"
    thing = rng.choice(words["things"])[0]
    return "", f"{start}{right} the {thing}.", [f"{start}{wrong} the {thing}."]


def embedded_question(rng: random.Random, words: Words) -> Draft:
    """Return a pair that differs in the order of subject and verb in an embedded question."""
    noun, adjective = rng.choice(words["nouns"])[0], rng.choice(words["adjectives"])
    start = f"{rng.choice(words['names'])} wants to know why"
    return "", f"{start} the {noun} is {adjective}.", [f"{start} is the {noun} {adjective}."]


def adjective_order(rng: random.Random, words: Words) -> Draft:
    """Return a pair that differs in the order of two adjectives."""
    first, second = rng.choice(words["adjective_order"])
    start, noun = f"{rng.choice(words['names'])} has found a", rng.choice(words["things"])[0]
    return "", f"{start} {first} {second} {noun}.", [f"{start} {second} {first} {noun}."]


def pronoun_case(rng: random.Random, words: Words) -> Draft:
    """Return a pair that differs in the case of the second of two pronouns or nouns."""
    right, wrong = rng.choice([("him", "he"), ("her", "she"), ("them", "they"), ("me", "I")])
    start = f"The {rng.choice(words['nouns'])[0]} {rng.choice(words['transitive'])}"
    other = rng.choice(words["names"])
    return "", f"{start} {other} and {right}.", [f"{start} {other} and {wrong}."]


def article(rng: random.Random, words: Words) -> Draft:
    """Return a pair that differs in a or an."""
    kind = rng.randrange(2)
    noun = rng.choice((words["vowel_words"], words["consonant_words"])[kind])
    start = f"{rng.choice(words['names'])} has seen"
    forms = ("an", "a")
    return "", f"{start} {forms[kind]} {noun}.", [f"{start} {forms[1 - kind]} {noun}."]


def quantifier(rng: random.Random, words: Words) -> Draft:
    """Return a pair that differs in less or fewer."""
    countable = rng.randrange(2)
    noun = rng.choice(words["things"])[1] if countable else rng.choice(words["mass"])
    forms = ("less", "fewer")
    start, end = f"{rng.choice(words['names'])} has", f"{noun} than {rng.choice(words['names'])}."
    return "", f"{start} {forms[countable]} {end}", [f"{start} {forms[1 - countable]} {end}"]


def polarity(rng: random.Random, words: Words) -> Draft:
    """Return a pair in which ever is licensed or not."""
    noun, verb = rng.choice(words["nouns"])[1], rng.choice(words["participles"])[0]
    end = f"{noun} have ever {verb} a {rng.choice(words['things'])[0]}."
    return "", f"No {end}", [f"{rng.choice(['Some', 'Many', 'Most'])} {end}"]


# Arithmetic: two worked examples, then the item.


def near(rng: random.Random, value: int) -> list[str]:
    """Return three wrong numbers close to the right one."""
    offsets = [d for d in (-10, -3, -2, -1, 1, 2, 3, 10) if value + d > 0]
    return [str(value + offset) for offset in rng.sample(offsets, 3)]


def sums(rng: random.Random, limit: int, sign: str) -> Draft:
    """Return a sum, difference or product of numbers up to ``limit``."""

    def one() -> tuple[str, int]:
        a, b = rng.randint(2, limit), rng.randint(2, limit)
        if sign == "-":
            a, b = a + b, a
        return f"{a} {sign} {b} =", {"+": a + b, "-": a - b, "x": a * b}[sign]

    examples = "".join(f"{text} {value}\n" for text, value in (one(), one()))
    text, value = one()
    return examples + text, str(value), near(rng, value)


def small_sum(rng: random.Random, _: Words) -> Draft:
    """Return a sum of two numbers of one digit."""
    return sums(rng, 9, "+")


def large_sum(rng: random.Random, _: Words) -> Draft:
    """Return a sum of two numbers of up to two digits."""
    return sums(rng, 50, "+")


def difference(rng: random.Random, _: Words) -> Draft:
    """Return a difference of small numbers."""
    return sums(rng, 9, "-")


def product(rng: random.Random, _: Words) -> Draft:
    """Return a product of two numbers of one digit."""
    return sums(rng, 9, "x")


def successor(rng: random.Random, _: Words) -> Draft:
    """Return the question which number follows another."""
    value = rng.randint(11, 180)
    return f"The number that comes right after {value} is", str(value + 1), near(rng, value + 1)


def largest(rng: random.Random, _: Words) -> Draft:
    """Return the question which of four numbers is the largest."""
    numbers = rng.sample(range(2, 100), 4)
    top = max(numbers)
    listed = ", ".join(map(str, numbers))
    wrong = [str(number) for number in numbers if number != top]
    return f"Of the numbers {listed}, the largest is", str(top), wrong


def story(rng: random.Random, words: Words) -> Draft:
    """Return a word problem of one step."""
    name, thing = rng.choice(words["names"]), rng.choice(["apples", "coins", "pens", "eggs"])
    a, b = rng.randint(3, 9), rng.randint(1, 8)
    query = f"{name} has {a} {thing} and gets {b} more. The number of {thing} is now"
    return query, str(a + b), near(rng, a + b)


# Patterns: what comes next follows from the text alone.


def copying(rng: random.Random, words: Words) -> Draft:
    """Return a list to copy, all but its last word already copied."""
    chosen: list[str] = rng.sample(words["words"], 8)
    listed = " ".join(chosen)
    return f"{listed}\n{' '.join(chosen[:5])}", chosen[5], [chosen[i] for i in (7, 2, 0)]


def cycle(rng: random.Random, words: Words) -> Draft:
    """Return a repeating row of words that stops in the middle."""
    chosen = rng.sample(words["words"], 4)
    row = chosen * 2 + chosen[: rng.randrange(1, 4)]
    right = chosen[len(row) % 4]
    return " ".join(row), right, [word for word in chosen if word != right]


def recall(rng: random.Random, words: Words) -> Draft:
    """Return the question which colour belongs to a name given before."""
    names, colours = rng.sample(words["names"], 4), rng.sample(words["colours"], 4)
    listed = " ".join(f"{n}'s door is {c}." for n, c in zip(names, colours, strict=True))
    at = rng.randrange(4)
    wrong = [colour for colour in colours if colour != colours[at]]
    return f"{listed} So the door of {names[at]} is", colours[at], wrong


def counting(rng: random.Random, _: Words) -> Draft:
    """Return a row of numbers with a constant step."""
    start, step = rng.randint(1, 20), rng.choice([2, 3, 5, 10])
    row = [start + step * i for i in range(6)]
    right = row[-1]
    wrong = rng.sample([right + d for d in (-2, -1, 1, 2, step)], 4)
    return (
        ", ".join(map(str, row[:-1])) + ",",
        str(right),
        [str(w) for w in dict.fromkeys(wrong)][:3],
    )


def inflection(rng: random.Random, pairs: list[list[str]], wrong: dict[str, list[str]]) -> Draft:
    """Return three examples of a change of form and a fourth word to change."""
    *examples, (word, form) = rng.sample(pairs, 4)
    shown = "".join(f"{a} -> {b}\n" for a, b in examples)
    return f"{shown}{word} ->", form, wrong[word]


def plural(rng: random.Random, words: Words) -> Draft:
    """Return a plural to form."""
    return inflection(rng, words["plurals"], words["wrong_plurals"])


def past(rng: random.Random, words: Words) -> Draft:
    """Return a past tense to form."""
    return inflection(rng, words["pasts"], words["wrong_pasts"])


GRAMMAR: tuple[Maker, ...] = (
    agreement,
    relative_agreement,
    determiner,
    reflexive,
    duration,
    participle,
    embedded_question,
    adjective_order,
    pronoun_case,
    article,
    quantifier,
    polarity,
)
ARITHMETIC: tuple[Maker, ...] = (
    small_sum,
    large_sum,
    difference,
    product,
    successor,
    largest,
    story,
)
PATTERNS: tuple[Maker, ...] = (copying, cycle, recall, counting, plural, past)


def item(rng: random.Random, kind: str, draft: Draft) -> dict[str, Any]:
    """Return one line of a task file, the choices in random order."""
    query, right, wrong = draft
    choices = [right, *wrong]
    rng.shuffle(choices)
    return {"kind": kind, "query": query, "choices": choices, "gold": choices.index(right)}


def made(makers: tuple[Maker, ...], count: int, words: Words) -> Iterator[dict[str, Any]]:
    """Yield ``count`` different items of every kind."""
    for maker in makers:
        rng = random.Random(f"{SEED} {maker.__name__}")
        seen: dict[tuple[str, str], Draft] = {}
        while len(seen) < count:
            draft = maker(rng, words)
            seen.setdefault(draft[:2], draft)
        yield from (item(rng, maker.__name__, draft) for draft in seen.values())


def facts(relations: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield one item per fact, wrong answers given or drawn from the same relation."""
    rng = random.Random(f"{SEED} facts")
    for relation in relations:
        pairs: dict[str, str | list[str]] = relation["pairs"]
        answers = sorted({answer for answer in pairs.values() if isinstance(answer, str)})
        for subject, known in pairs.items():
            if isinstance(known, str):
                known = [known, *rng.sample([other for other in answers if other != known], 3)]
            query = relation["text"].format(subject)
            if query.startswith("A ") and subject[0] in "aeiou":
                query = "An" + query[1:]
            yield item(rng, relation["text"], (query, known[0], known[1:]))


def subtasks(words: Words) -> dict[str, list[dict[str, Any]]]:
    """Return the items of every subtask."""
    return {
        "grammar": list(made(GRAMMAR, GRAMMAR_ITEMS_PER_KIND, words["grammar"])),
        "facts": list(facts(words["facts"])),
        "arithmetic": list(made(ARITHMETIC, ARITHMETIC_ITEMS_PER_KIND, words["grammar"])),
        "patterns": list(made(PATTERNS, PATTERN_ITEMS_PER_KIND, words["patterns"])),
    }


def task_config(name: str) -> dict[str, Any]:
    """Return the lm-eval configuration of one subtask; its data file is relative to itself."""
    return {
        "task": f"{GROUP}_{name}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "{{query}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{gold}}",
        "target_delimiter": "" if name == "grammar" else " ",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "num_fewshot": 0,
        "metadata": {"version": 1.0},
    }


def group_config(names: list[str]) -> dict[str, Any]:
    """Return the lm-eval configuration of the group: the mean of its subtasks."""
    return {
        "group": GROUP,
        "task": [f"{GROUP}_{name}" for name in names],
        "aggregate_metric_list": [
            {"metric": "acc", "aggregation": "mean", "weight_by_size": False}
        ],
        "metadata": {"version": 1.0},
    }


def files() -> dict[str, str]:
    """Return the text of every file of the task group by its name."""
    words = yaml.safe_load((HERE / "make_tasks_words.yaml").read_text("utf-8"))
    made_items = subtasks(words)
    out = {f"{GROUP}.yaml": yaml.safe_dump(group_config(list(made_items)), sort_keys=False)}
    for name, items in made_items.items():
        out[f"{name}.yaml"] = yaml.safe_dump(task_config(name), sort_keys=False)
        lines = (json.dumps(entry, ensure_ascii=False) for entry in items)
        out[f"{name}.jsonl"] = "\n".join(lines) + "\n"
    return out


def main() -> None:
    """Write the files, or compare them with what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--check", action="store_true", help="exit 1 if a file would change")
    options = parser.parse_args()
    out: Path = options.out
    expected = files()
    if options.check:
        stale = [n for n, text in expected.items() if (out / n).read_text("utf-8") != text]
        sys.exit(f"make_tasks: out of date: {', '.join(stale)}" if stale else 0)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in expected.items():
        (out / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
