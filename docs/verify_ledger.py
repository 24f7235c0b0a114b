"""Verifies a ledger that Modelworks exported: python3 verify_ledger.py FILE [HEAD]

FILE holds the lines of one organisation, oldest first (`-` reads standard input). HEAD is the hash that an earlier
statement printed; the chain must contain it, or lines were cut off or rewritten. Needs nothing but Python 3 and follows
docs/ledger.md, not the server's code. Ends with 0 and prints the chain's end, or with 1 and the first fault.
"""

import hashlib
import re
import sys

CLASSES = ["input", "cached_input", "output", "seconds", "images", "requests"]
CAUSES = """finished stop_string length budget cancelled_by_client slow_reader key_revoked cancelled_by_operator
    failed_here failed_upstream refused shut_down crashed""".split()
TERMS = "( price=price_ID share=NUMBER" + "".join(f"(?: {name}=COUNTxNUMBER)?" for name in CLASSES) + ")"
GRAMMAR = (
    "v1 (org_ID) (COUNT) (SIGNED) (HASH) "
    "(?:(charge) request=req_ID project=proj_ID key=key_ID model=MODEL cause=(CAUSE) service=(?:standard|batch)TERMS"
    "|(credit) source=(?:grant|code) external=HASH"
    "|(correction) corrects=(COUNT)TERMS?)"
    " amount=(SIGNED) balance=(SIGNED)"
)
WORDS = {
    "TERMS": TERMS,
    "ID": "[0-9a-f]{32}",
    "HASH": "[0-9a-f]{64}",
    "MODEL": "(?:[A-Za-z0-9._~:/-]|%[0-9A-F]{2})*",
    "CAUSE": "|".join(CAUSES),
    "COUNT": "[1-9][0-9]*",
    "NUMBER": "(?:0|[1-9][0-9]*)",
    "SIGNED": "(?:0|-?[1-9][0-9]*)",
}
for word, pattern in WORDS.items():
    GRAMMAR = GRAMMAR.replace(word, pattern)
GRAMMAR = re.compile(GRAMMAR, re.ASCII)


def cost(terms):
    """Σ count · rate · share / 10⁹, rounded once, halves to even."""
    fields = dict(field.split("=") for field in terms.split())
    used = [fields[name].split("x") for name in CLASSES if name in fields]
    total = sum(int(count) * int(rate) for count, rate in used) * int(fields["share"])
    whole, rest = divmod(total, 10**9)
    return whole + (rest * 2 > 10**9 or (rest * 2 == 10**9 and whole % 2 == 1))


def verify(lines, expected_head=None):
    """Returns organisation, number of lines, last hash and balance; raises ValueError at the first fault."""
    organisation, number, head, balance = None, 0, "0" * 64, 0
    net = {}
    seen = expected_head is None or expected_head == head
    for line in lines:
        number += 1
        match = GRAMMAR.fullmatch(line)
        if not match:
            raise ValueError(f"line {number} is not in the canonical form")
        org, own_number, _, previous, charge, _, charged, credit, _, corrects, corrected, amount, after = match.groups()
        amount = int(amount)
        if organisation not in (None, org):
            raise ValueError(f"line {number} is of another organisation")
        organisation = org
        if int(own_number) != number:
            raise ValueError(f"line {number} has the number {own_number}")
        if previous != head:
            raise ValueError(f"line {number} follows a line with the hash {previous}, but the one before it has {head}")
        if charge:
            net[number] = amount
            if -cost(charged) != amount:
                raise ValueError(f"line {number}: its terms give {-cost(charged)}, not {amount}")
        elif credit:
            net[number] = amount
        else:
            corrects = int(corrects)
            if corrects not in net:
                raise ValueError(f"line {number} corrects line {corrects}, which is not before it")
            net[corrects] += amount
            if corrected and -cost(corrected) != net[corrects]:
                raise ValueError(f"line {number}: with it line {corrects} comes to {net[corrects]}, not {-cost(corrected)}")
        balance += amount
        if balance != int(after):
            raise ValueError(f"line {number}: its balance is {after}, but the sum is {balance}")
        head = hashlib.sha256(line.encode("ascii")).hexdigest()
        seen = seen or head == expected_head
    if not seen:
        raise ValueError(f"no line has the hash {expected_head}: lines were cut off or rewritten")
    return organisation, number, head, balance


def main(arguments):
    if len(arguments) not in (1, 2):
        raise SystemExit(__doc__)
    file = sys.stdin if arguments[0] == "-" else open(arguments[0], encoding="ascii")
    with file:
        text = file.read()
    if text and not text.endswith("\n"):
        raise ValueError("the last line breaks off")
    organisation, number, head, balance = verify(text.split("\n")[:-1], *arguments[1:])
    print(f"{organisation} lines {number} hash {head} balance {balance}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as fault:
        raise SystemExit(f"not valid: {fault}")
