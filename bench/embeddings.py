"""Texts a second: this server's /v1/embeddings beside the usual Python reference, in turns within one run.

    python bench/embeddings.py FOLDER http://127.0.0.1:8080 [ROUNDS]

FOLDER is all-MiniLM-L6-v2 as published; KEY in the environment is the server's key. The reference does what
`sentence-transformers` does: texts sorted by length, batches of 32 padded to their longest, BertModel of `transformers`
in float32 on two threads, the mean over each text's tokens, a length of 1. It runs in this process and answers nobody;
the server is asked over HTTP, once for all texts. Needs torch, transformers and tokenizers.
"""

import array
import base64
import json
import os
import random
import statistics
import sys
import time
import urllib.request

import tokenizers
import torch
import transformers

TEXTS, BATCH = 512, 32


def texts():
    """Sentences of 3 to 30 common words, the same each time."""
    draw = random.Random(1)
    words = (
        "the a of to and in is it that for on with as was at by from this have are not but be they which one all we "
        "there when your can said use each how their will up other about out many then them these so some her would "
        "make like him into time has look two more write go see number no way could people my than first water been "
        "call who oil its now find long down day did get come made may part house picture animal point mother world"
    ).split()
    return [" ".join(draw.choices(words, k=draw.randint(3, 30))) for _ in range(TEXTS)]


def reference(folder):
    torch.set_num_threads(2)
    tokenizer = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding(pad_id=0)
    model = transformers.BertModel.from_pretrained(folder, dtype=torch.float32).eval()

    def embed(texts):
        vectors = [None] * len(texts)
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH):
                part = order[start : start + BATCH]
                encoded = tokenizer.encode_batch([texts[i] for i in part])
                ids = torch.tensor([e.ids for e in encoded])
                mask = torch.tensor([e.attention_mask for e in encoded])
                rows = model(input_ids=ids, attention_mask=mask).last_hidden_state
                weights = mask.unsqueeze(-1).float()
                mean = (rows * weights).sum(1) / weights.sum(1)
                for i, vector in zip(part, torch.nn.functional.normalize(mean, dim=1)):
                    vectors[i] = vector.tolist()
        return vectors

    return embed


def server(url):
    key = os.environ["KEY"]

    def embed(texts):
        body = json.dumps({"model": "all-minilm-l6-v2", "input": texts, "encoding_format": "base64"}).encode()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/embeddings", body, headers)) as answer:
            data = json.load(answer)["data"]
        return [array.array("f", base64.b64decode(item["embedding"])).tolist() for item in data]

    return embed


def main(folder, url, rounds=5):
    sides = {"ours": server(url), "reference": reference(folder)}
    asked = texts()
    found = {name: embed(asked) for name, embed in sides.items()}
    worst = min(sum(a * b for a, b in zip(*pair)) for pair in zip(found["ours"], found["reference"]))
    print(f"{TEXTS} texts, cosine at least {worst:.7f}")
    seconds = {name: [] for name in sides}
    for turn in range(int(rounds)):
        for name in sorted(sides, reverse=turn % 2 == 1):
            start = time.perf_counter()
            sides[name](asked)
            seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        print(f"{name}: {TEXTS / statistics.median(times):.0f} texts/s (median of {len(times)})")


main(*sys.argv[1:])
