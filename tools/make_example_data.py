"""Makes the example data set of examples/data from its hand-written pieces; the same seed gives the same bytes."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import yaml

SEED = 20260701
FOLLOW_UP_SHARE = 0.2
# The wrong row of bad-row.jsonl: its line, and the number of rows around it.
BAD_LINE, BAD_ROWS = 17, 30

Row = dict[str, Any]
DATA = Path(__file__).resolve().parent.parent / "examples" / "data"


def row(system: str, turns: list[str]) -> Row:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": [{"text": text}]} for i, text in enumerate(turns)]
    return {"schemaVersion": "bedrock-conversation-2024", "system": [{"text": system}], "messages": messages}


def conversation(source: Row, product: Row, intent: Row, mood: Row, number: int, rng: random.Random) -> list[str]:
    """The turns of one row. `number` picks the wording of the question, so that no two rows of a pair ask alike."""
    facts = {k: v for k, v in product.items() if isinstance(v, str)} | {"product": product["name"]}
    facts |= {f"clean_{i}": step for i, step in enumerate(product["clean"], 1)}
    question = intent["questions"][number].format(**facts)
    lowered = question if question.startswith("I ") else question[0].lower() + question[1:]
    asked = rng.choice(mood["asks"]).format(q=question, q_lower=lowered)
    answer = rng.choice(intent["answers"]).format(**facts)
    turns = [asked, f"{rng.choice(mood['opens'])} {answer}\n{rng.choice(source['closings'])}"]
    if rng.random() < FOLLOW_UP_SHARE:
        turns += [intent["follow_up"][part].format(**facts) for part in ("question", "answer")]
    return turns


def data_set(source: Row) -> tuple[list[Row], list[Row]]:
    """Training and validation rows. Validation holds out whole pairs of an intent and a product."""
    rng = random.Random(SEED)  # noqa: S311 (varied wording, not a secret)
    train: list[Row] = []
    validation: list[Row] = []
    products = source["products"]
    for i, intent in enumerate(source["intents"]):
        unfit = "no trouble" if intent.get("trouble") else "trouble"
        moods = [mood for mood in source["moods"] if mood.get("when") != unfit]
        held_out = products[(4 * i) % len(products)]
        for product in products:
            wordings = rng.sample(range(len(intent["questions"])), len(moods))
            for mood, wording in zip(moods, wordings, strict=True):
                turns = conversation(source, product, intent, mood, wording, rng)
                (validation if product is held_out else train).append(row(source["system"], turns))
    rng.shuffle(train)
    rng.shuffle(validation)
    return train, validation


def with_two_user_turns(rows: list[Row]) -> list[Row]:
    """The first rows, one of them with the user speaking twice in a row."""
    out = list(rows[:BAD_ROWS])
    bad = json.loads(json.dumps(out[BAD_LINE - 1]))
    bad["messages"].insert(1, {"role": "user", "content": [{"text": "Hello? Is anybody there?"}]})
    out[BAD_LINE - 1] = bad
    return out


def jsonl(rows: list[Row]) -> str:
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)


def files() -> dict[str, str]:
    """File name to content."""
    train, validation = data_set(yaml.safe_load((DATA / "source.yaml").read_text(encoding="utf-8")))
    return {
        "train.jsonl": jsonl(train),
        "val.jsonl": jsonl(validation),
        "bad-row.jsonl": jsonl(with_two_user_turns(train)),
    }


def main() -> int:
    for name, content in files().items():
        (DATA / name).write_text(content, encoding="utf-8", newline="\n")
        print(f"{DATA / name}: {content.count(chr(10))} rows, {len(content.encode())} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
