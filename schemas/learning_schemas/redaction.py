"""Secrets taken out of a text before it leaves the agent: API keys, passwords, private keys, card numbers.

A few C-speed searches decide which kinds the text could hold at all; for ordinary talk that is everything that is
done. What is found gives way to `[redacted: KIND]`. Redacting is idempotent and takes linear time.

It is a safety net over what people paste by mistake: a secret of unknown shape that nothing announces gets through.
"""

import json
from collections.abc import Callable, Iterator, Sequence

from learning_schemas import _secret_patterns as look

__all__ = ["CUSTOM", "Redactor", "redact", "redactions_in"]

CUSTOM = "custom"
"""The kind under which the texts that a hook changed are counted."""

# Where a secret starts and ends, and its kind.
_Found = tuple[int, int, str]

_KINDS = frozenset({look.API_KEY, look.PASSWORD, look.PRIVATE_KEY, look.CARD_NUMBER})

# Words inside a value that was turned down are looked at again, unless it is longer than this: time stays linear.
_LONG = 128
_LONGEST_ANNOUNCED = 4_096


def redact(text: str) -> tuple[str, dict[str, int] | None]:
    """Give the text with its secrets replaced by `[redacted: KIND]`, and how many of each kind.

    Where nothing is found the answer is the same object and None. Kinds: api key, password, private key, card number.
    """
    raw = text.encode("latin-1", "replace")
    squashed = raw.translate(look.SQUASH_TABLE, look.SQUASH_DELETE)
    runs = raw.translate(look.TOKEN_RUN_TABLE)
    long_run, colon, digit = look.TOKEN_RUN in runs, b":" in squashed, b"0" in squashed
    found: list[_Found] = []
    if long_run:
        found.extend(_tokens(text, runs))
    if look.WIDE_CARD_GATE in squashed and look.WIDE_CARD.search(text):
        found.extend(_cards(text.translate(look.NARROW)))
    elif digit and look.CARD_GATE in squashed:
        found.extend(_cards(text))
    if look.PASSWORD_GATE.search(squashed) or look.PWD_GATE in squashed or (colon and look.PW_GATE in squashed):
        found.extend(_announced_passwords(text, raw))
    if (colon and look.KEY_GATE.search(squashed)) or (
        (digit or long_run) and (look.SPOKEN_KEY_GATE.search(squashed) or look.BEARER_GATE in squashed)
    ):
        found.extend(_announced_keys(text, raw))
    if colon:
        if "://" in text:
            found.extend(_url_secrets(text))
        if look.BASIC_GATE in squashed:
            found.extend(_basic_credentials(text))
    if look.PEM_GATE in text:
        found.extend(_private_keys(text))
    return _replace(text, found) if found else (text, None)


class Redactor:
    """Redaction as an agent configures it: the built-in kinds, then each hook in turn.

    A hook takes the text and gives it back with replacements of its own; a text that it changed counts as one
    "custom". What a hook raises reaches the caller. With enabled=False nothing is done, the hooks are not called.
    """

    __slots__ = ("_enabled", "_hooks")

    def __init__(self, hooks: Sequence[Callable[[str], str]] = (), enabled: bool = True) -> None:
        self._hooks = tuple(hooks)
        self._enabled = enabled

    def __call__(self, text: str) -> tuple[str, dict[str, int] | None]:
        """Give the text without its secrets and the counts by kind: the same object and None where nothing changed."""
        if not self._enabled:
            return text, None
        redacted, counts = redact(text)
        for hook in self._hooks:
            changed = hook(redacted)
            if changed != redacted:
                counts = counts or {}
                counts[CUSTOM] = counts.get(CUSTOM, 0) + 1
                redacted = changed
        return redacted, counts

    def announced(self, name: str, value: str) -> str | None:
        """The kind of secret that `value` is because it stands under this name, as in {"password": "…"}; else None."""
        if not self._enabled or len(value) > _LONGEST_ANNOUNCED or not look.NAMES.search(name):
            return None
        _, found = redact(f"{name}: {json.dumps(value)}")
        return next(iter(found)) if found else None


def redactions_in(text: str) -> list[str]:
    """The kinds of secrets that were taken out of a text, one for each marker in it; of built-in kinds alone."""
    if look.MARKER not in text:
        return []
    ends = (part.partition("]")[0] for part in text.split(look.MARKER)[1:])
    return [kind for kind in ends if kind in _KINDS]


def _replace(text: str, found: list[_Found]) -> tuple[str, dict[str, int]]:
    """Replace what was found; overlapping finds are one secret, of the kind that starts first and reaches furthest."""
    found.sort(key=lambda secret: (secret[0], -secret[1]))
    pieces: list[str] = []
    counts: dict[str, int] = {}
    done, index = 0, 0
    while index < len(found):
        start, end, kind = found[index]
        index += 1
        while index < len(found) and found[index][0] < end:
            end = max(end, found[index][1])
            index += 1
        pieces += (text[done:start], look.MARKER, kind, "]")
        counts[kind] = counts.get(kind, 0) + 1
        done = end
    pieces.append(text[done:])
    return "".join(pieces), counts


def _tokens(text: str, runs: bytes) -> Iterator[_Found]:
    start = runs.find(look.TOKEN_RUN)
    while start >= 0:
        end = runs.find(b" ", start)
        end = len(runs) if end < 0 else end
        for match in look.TOKEN.finditer(text, start, end):
            yield *match.span(), look.API_KEY
        start = runs.find(look.TOKEN_RUN, end)


def _private_keys(text: str) -> Iterator[_Found]:
    """A key reaches to its END line; without one, as far as there are lines that can be its own."""
    begin = look.PEM_BEGIN.search(text)
    while begin:
        following = look.PEM_NEXT.search(text, begin.end())
        if following and following["end"]:
            end = following.end()
        else:
            body = look.PEM_CUT_BODY.match(text, begin.end())
            end = body.end() if body else begin.end()
        yield begin.start(), end, look.PRIVATE_KEY
        begin = look.PEM_BEGIN.search(text, end)


def _cards(text: str) -> Iterator[_Found]:
    position = 0
    while match := look.CARD.search(text, position):
        if match["uuid"]:
            position = match.end()
            continue
        length = _card_length(match.group())
        if length:
            position = match.start() + length
            yield match.start(), position, look.CARD_NUMBER
        else:
            position = match.start() + 1  # the number may start at a later group


def _card_length(candidate: str) -> int:
    """How many characters from the start of the candidate, in whole groups, are a card number; 0 where none are."""
    ends: dict[int, int] = {}  # number of digits -> number of characters, at the end of each group
    digits: list[int] = []
    for index, character in enumerate(candidate):
        if character.isdecimal():
            digits.append(int(character))
        else:
            ends[len(digits)] = index
    ends[len(digits)] = len(candidate)
    for prefix, lengths in look.CARD_ISSUERS:
        if prefix.match("".join(map(str, digits[:4]))):
            for length in lengths:
                if length in ends and _luhn(digits[:length]):
                    return ends[length]
    return 0


def _luhn(digits: Sequence[int]) -> bool:
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _announced_passwords(text: str, raw: bytes) -> Iterator[_Found]:
    seen = 0
    for head in look.PASSWORD_HEAD.finditer(raw.lower()):
        if head.start() < seen:
            continue
        value = look.VALUE.match(text, head.end())
        if not value:
            continue
        if value["quoted"] is not None:
            start, end = value.span("quoted")
            secret = _is_quoted_password(value["quoted"])
        else:
            start = value.start("bare")
            bare = value["bare"].rstrip(".,;:)]}>\"'*`\\")
            end = start + len(bare)
            secret = _is_bare_password(text, bare, end, head["sep"] or head["verb"])
        if secret:
            yield start, end, look.PASSWORD
        if secret or end - start > _LONG:
            seen = end


def _is_quoted_password(value: str) -> bool:
    if value.startswith((look.MARKER, "<", "{", "${", "%")) or not value.strip():
        return False
    return value.lower() not in ("string", "str", "text", "none", "null") and not set(value) <= set("*.•")


def _is_bare_password(text: str, value: str, end: int, separator: bytes) -> bool:
    word = value.rstrip("!?")
    if not word or look.MARKER_START in text[end - len(value) : end + 1] or look.PLACEHOLDER.match(word):
        return False
    if look.QUANTITY.match(word):
        return False
    if look.RANDOM.search(word) or word.count("-") > 2 or len(word) > _LONG:
        return True
    if separator == b"to" or word.lower() in look.SAID_OF_PASSWORDS:
        return False
    if b"=" in separator:
        return not look.CODE_NAME.match(word)
    if not look.SENTENCE_END.match(text, end) or look.CODE_NAME.match(word):
        return False
    return not (look.ADJECTIVE.match(word) or "-" in word or "'" in word)


def _announced_keys(text: str, raw: bytes) -> Iterator[_Found]:
    seen = 0
    lowered = raw.lower()
    for head in look.KEY_HEAD.finditer(lowered):
        if head.start() < seen or (head["key"] and not lowered.endswith(look.KEY_OWNERS, 0, head.start())):
            continue
        value = look.VALUE.match(text, head.end())
        if not value:
            continue
        group = "bare" if value["quoted"] is None else "quoted"
        start = value.start(group)
        content = value[group].rstrip(".,;:)]}>\"'*`\\")
        end = start + len(content)
        secret = _is_key(content)
        if secret:
            yield start, end, look.API_KEY
        if secret or end - start > _LONG:
            seen = end


def _is_key(value: str) -> bool:
    """Whether a value that was announced as a key can be one: no word, no number, no code that fetches it."""
    if len(value) < 8 or not look.KEY_VALUE.match(value) or look.PLACEHOLDER.match(value):
        return False
    return bool((look.DIGIT.search(value) and look.LETTER.search(value)) or look.LETTERS_ONLY.match(value))


def _basic_credentials(text: str) -> Iterator[_Found]:
    for match in look.BASIC.finditer(text):
        yield *match.span("secret"), look.PASSWORD


def _url_secrets(text: str) -> Iterator[_Found]:
    for match in look.URL.finditer(text):
        if match["webhook"]:
            yield *match.span("webhook"), look.API_KEY
        else:
            yield *match.span("password"), look.PASSWORD
