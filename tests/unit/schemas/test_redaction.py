"""Redaction: what is taken out, what is left alone, and the two promises: gates never miss, time stays linear."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness import linear
from learning_schemas import _secret_patterns as look
from learning_schemas import redaction
from learning_schemas.redaction import Redactor, redact

A36 = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3hJ6"
HEX32 = "0123456789abcdef0123456789abcdef"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

API_KEYS = [
    "sk-" + A36,
    "sk-proj-" + A36 + "-_" + A36,
    "sk-svcacct-" + A36,
    "sk-ant-api03-" + A36 + "-AA",
    "sk-or-v1-" + HEX32 * 2,
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    *("gh" + letter + "_" + A36 for letter in "pousr"),
    "github_pat_11ABCDEFG0abcdefghijkl_" + A36,
    "glpat-aB3dE6gH9jK2mN5pQ8sT",
    "xoxb-123456789012-1234567890123-" + A36[:24],
    "xoxp-123456789012-" + A36[:24],
    "sk_live_" + A36[:24],
    "rk_live_" + A36[:24],
    "sk_test_" + A36[:24],
    "AIza" + A36[:35],
    "SK" + HEX32,
    "SG." + A36[:22] + "." + A36 + "abcdefg",
    "npm_" + A36,
    "pypi-AgEIcHlwaS5vcmcCJ" + A36,
    "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "dop_v1_" + HEX32 * 2,
    JWT,
]

# text, what is left of it
ANNOUNCED_KEYS = [
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = [redacted: api key]"),
    ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPx", "AWS_SECRET_ACCESS_KEY=[redacted: api key]"),
    ('"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG+bPx"', '"SecretAccessKey": "[redacted: api key]"'),
    ('api_key = "a1b2c3d4e5f6g7h8"', 'api_key = "[redacted: api key]"'),
    ("x-api-key: a1b2c3d4e5f6g7h8", "x-api-key: [redacted: api key]"),
    ("My API key is a1b2c3d4e5f6g7h8, ok?", "My API key is [redacted: api key], ok?"),
    ('{"client_secret": "a1b2c3d4e5f6"}', '{"client_secret": "[redacted: api key]"}'),
    ("Authorization: Bearer a1b2c3d4e5f6g7h8", "Authorization: Bearer [redacted: api key]"),
    ("-H 'Authorization: Bearer " + JWT + "'", "-H 'Authorization: Bearer [redacted: api key]'"),
    (
        "DefaultEndpointsProtocol=https;AccountName=me;AccountKey=aB3dE6gH9jK2mN5p+/8sT1vW4yZ7bA==;EndpointSuffix=x",
        "DefaultEndpointsProtocol=https;AccountName=me;AccountKey=[redacted: api key];EndpointSuffix=x",
    ),
    (
        "post to https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX now",
        "post to https://hooks.slack.com/services/[redacted: api key] now",
    ),
]

PASSWORDS = [
    ("password: hunter2", "password: [redacted: password]"),
    ("my password is hunter2", "my password is [redacted: password]"),
    ("My password is monkey.", "My password is [redacted: password]."),
    (
        "The wifi password for the office is Sunny123, enjoy",
        "The wifi password for the office is [redacted: password], enjoy",
    ),
    ("**Password:** Tr0ub4dor&3", "**Password:** [redacted: password]"),
    ("I changed my password to Winter!2024", "I changed my password to [redacted: password]"),
    ("the password is correct-horse-battery-staple", "the password is [redacted: password]"),
    ("my password is 1234", "my password is [redacted: password]"),
    ("Mein Passwort ist geheim123", "Mein Passwort ist [redacted: password]"),
    ("passwd=hunter2&user=bob", "passwd=[redacted: password]&user=bob"),
    ("pwd: hunter2", "pwd: [redacted: password]"),
    ("user: bob, pw: hunter2", "user: bob, pw: [redacted: password]"),
    ("DB_PASSWORD=supersecret", "DB_PASSWORD=[redacted: password]"),
    ('password = "correct horse"', 'password = "[redacted: password]"'),
    ("password = 'say \\'x\\' now'", "password = '[redacted: password]'"),
    ('{"user": "bob", "password": "hunter2"}', '{"user": "bob", "password": "[redacted: password]"}'),
    ("password:\nhunter2", "password:\n[redacted: password]"),
    ("密码 password: hunter2 谢谢", "密码 password: [redacted: password] 谢谢"),
    ("postgres://user:pass@host/db", "postgres://user:[redacted: password]@host/db"),
    ("redis://:s3cret@localhost:6379/0", "redis://:[redacted: password]@localhost:6379/0"),
    ("https://bob:p@ss@example.com/x", "https://bob:[redacted: password]@example.com/x"),
    ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [redacted: password]"),
]

CARDS = [
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "4111111111111111",
    "5555 5555 5555 4444",
    "2223 0031 2200 3222",
    "3782 822463 10005",
    "378282246310005",
    "6011 1111 1111 1117",
    "3530111333300000",
    "3056 9309 0259 04",
    "4222222222222",
    "6759649826438453",
    "6212345678901265",
]

PEM_BODY = "\n".join([A36 + "abcdefghijklmnopqrstuvwx/+AB"] * 3)

LEFT_ALONE = [
    "",
    "the password is required",
    "The password is wrong. I want to reset my password",
    "password policy: at least 8 characters, one digit",
    "Password: required",
    "password must be 12 characters; the password is 8 characters long",
    "Is the password case-sensitive? The password is stored hashed, the password is encrypted.",
    "my password is not working and the password was changed yesterday",
    "forgot password? See https://example.com/reset-password?lang=en",
    "1Password is great. The passport is valid, we passed with a compass",
    "She told me the secret: kindness. The key is patience; the key: be early",
    "The bearer of bad news. A token of appreciation: token: flowers",
    "max_tokens: 4096, total_tokens = 12345678",
    "the primary_key = user_id_1234 of cache_key: page:12:ab34cd56",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "id 550e8400-e29b-41d4-a716-446655440000 and 01890a5d-ac96-774b-bcce-b302099a8057",
    "41111111-1111-4111-8111-111111111111",
    "ISBN 978-3-16-148410-0, ISBN 9783161484100",
    "IBAN DE89 3704 0044 0532 0130 00",
    "call +49 151 1234 5678 90 or +1 (555) 123-4567 or +4111111111111111",
    "order 4111 1111 1111 1112, order id 4111111111111112",
    "at 1700000000000 ms, 1700000000000000000 ns, 2026-11-22T13:00:00.123456Z, 20261122130000123",
    "5 10 15 20 25 30 35 40 45, 0.4111111111111111",
    "see http://localhost:8080/a@2x.png and https://example.com:443/path?x=a:b@c and git@github.com:a/b.git",
    "https://example.com/blog/how-to-use-the-sk-learn-pipeline-with-a-very-long-slug-2024",
    "class sk-folding-cube-container-large, snake_case_function_name_that_is_long, npm_config_registry",
    "password = get_password()",
    "password = self.get_password(user)",
    "password = config.password",
    'api_key=os.environ["X"]',
    "api_key = os.getenv('OPENAI_API_KEY')",
    "api_key=settings.api_key_v2",
    "client(api_key=api_key, password=password, token=token)",
    "password: str = None, password: Optional[str], password: ${DB_PASSWORD}, password=$PASSWORD",
    'password = "<your password>", api_key = "your-api-key-1", password: ********',
    "postgres://user:${PASSWORD}@host/db and postgres://user:{password}@host",
    "the password is SHA256-hashed, password: base64",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN PUBLIC KEY-----\nMIIB\n",
    "Je suis végétarien, ich heiße Jürgen; 我住在柏林 🏙️ and \ud800 alone",
]


@pytest.mark.parametrize("key", API_KEYS)
@pytest.mark.parametrize("around", ["{}", "use {} please", '"{}"', "key={}.", "https://x@{}:y", "日本{}語"])
def test_given_a_provider_key_anywhere_when_redacted_then_the_whole_key_is_gone(key: str, around: str) -> None:
    redacted, counts = redact(around.format(key))
    assert redacted.rstrip(".") == around.format("[redacted: api key]").rstrip(".")
    assert counts == {"api key": 1}


@pytest.mark.parametrize(("text", "left"), ANNOUNCED_KEYS)
def test_given_an_announced_key_when_redacted_then_only_its_value_is_gone(text: str, left: str) -> None:
    assert redact(text) == (left, {"api key": 1})


@pytest.mark.parametrize(("text", "left"), PASSWORDS)
def test_given_a_password_when_redacted_then_only_its_value_is_gone(text: str, left: str) -> None:
    assert redact(text) == (left, {"password": 1})


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("around", ["{}", "pay with {}, please", "card:{} 12/27 cvc 123", "{} 123", "take 12 {}"])
def test_given_a_card_number_when_redacted_then_it_is_gone(card: str, around: str) -> None:
    redacted, counts = redact(around.format(card))
    assert redacted.startswith(around.split("{}")[0] + "[redacted: card number]")
    assert counts == {"card number": 1}


@pytest.mark.parametrize("name", ["RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY",
                                  "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK"])  # fmt: skip
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\\n"])
def test_given_a_private_key_when_redacted_then_the_block_is_one_replacement(name: str, newline: str) -> None:
    lines = [f"-----BEGIN {name}-----", "Version: 1", "", *PEM_BODY.split("\n"), "ab==", f"-----END {name}-----"]
    assert redact(f"here: {newline.join(lines)} bye") == ("here: [redacted: private key] bye", {"private key": 1})


@pytest.mark.parametrize("end", ["", "\nMIIE...", "\nabc="])
def test_given_a_private_key_cut_short_when_redacted_then_what_there_is_of_it_is_gone(end: str) -> None:
    text = f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{PEM_BODY}{end}"
    redacted, counts = redact(text)
    assert redacted.rstrip(".") == "[redacted: private key]"
    assert counts == {"private key": 1}


def test_given_words_after_a_private_key_cut_short_when_redacted_then_the_words_stay() -> None:
    text = f"-----BEGIN PRIVATE KEY-----\n{PEM_BODY}\n\nThat is my key, what now?"
    assert redact(text)[0] == "[redacted: private key]\n\nThat is my key, what now?"


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_given_ordinary_text_when_redacted_then_the_same_object_comes_back(text: str) -> None:
    redacted, counts = redact(text)
    assert redacted is text, redacted
    assert counts is None


def test_given_several_secrets_when_redacted_then_they_are_counted_by_kind() -> None:
    text = f"key {API_KEYS[0]}, also {API_KEYS[5]}; password: hunter2; card {CARDS[0]} password is {CARDS[1]}"
    redacted, counts = redact(text)
    assert counts == {"api key": 2, "password": 1, "card number": 2}
    assert "hunter2" not in redacted


def test_given_one_secret_of_two_kinds_when_redacted_then_it_is_replaced_once() -> None:
    assert redact(f"password: {API_KEYS[0]}") == ("password: [redacted: api key]", {"api key": 1})


# Pieces that meet in hypothesis' texts: secrets, what announces them, and what could confuse the two.
PIECES = [
    *API_KEYS, *CARDS, *(text for text, _ in ANNOUNCED_KEYS + PASSWORDS), *LEFT_ALONE,
    "[redacted: password]", "[redacted: api key]", "[redacted: private key]", "[redacted:", "]", " ", ": ", "=", "\n",
    '"', "'", "`",
    "password", "PASSWORD is ", "pw", "api key", "api_key=", "token: ", "secret is ", "Bearer ", "://", "@", ":",
    "hunter2",
    "a1b2c3d4e5",
    "-----BEGIN RSA PRIVATE KEY-----\n", "-----END RSA PRIVATE KEY-----",
    "\u017f", "\u212a", "İ", "é", "\xa0", "٣", "4111", "-", ".", "_",
    "Pa\u017f\u017fword: x1", "${", "<", "(", "to ", "is ", "Authorization: Basic ", "\\n", "\\",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=8).map("".join)


@settings(max_examples=1000, deadline=None)
@given(TEXTS)
@example("password: hunter2: foo123")
@example("api key: a1b2c3d4: e5f6g7h8")
@example("4111 1111 1111 1111-" + API_KEYS[0])
@example("4111-1111-1111-1111-4111111111111111")
@example(API_KEYS[0] + ".4111111111111111")
@example("password=config." + API_KEYS[7])
@example("password=config." + API_KEYS[7] + ":")
@example("password=get(a," + API_KEYS[7] + ":")
def test_given_any_text_when_redacted_twice_then_the_second_time_changes_nothing(text: str) -> None:
    once, _ = redact(text)
    twice, counts = redact(once)
    assert twice == once
    assert counts is None


def found_without_gates(text: str) -> list[tuple[int, int, str]]:
    """All that any pattern finds when each is tried on the whole text."""
    raw = text.encode("latin-1", "replace")
    found = [(*match.span(), look.API_KEY) for match in look.TOKEN.finditer(text)]
    found += redaction._cards(text)
    found += redaction._announced_passwords(text, raw)
    found += redaction._announced_keys(text, raw)
    found += redaction._basic_credentials(text)
    found += redaction._url_secrets(text)
    found += redaction._private_keys(text)
    return found


@settings(max_examples=1000, deadline=None)
@given(TEXTS)
def test_given_any_text_when_gated_then_the_gates_miss_nothing_that_the_patterns_find(text: str) -> None:
    found = found_without_gates(text)
    expected = redaction._replace(text, found) if found else (text, None)
    assert redact(text) == expected


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200), st.sampled_from(API_KEYS), st.text(max_size=200))
def test_given_a_key_set_off_by_spaces_in_any_text_when_redacted_then_it_is_gone(
    before: str, key: str, after: str
) -> None:
    assert key not in redact(f"{before} {key} {after}")[0]


ADVERSARIAL = {
    "letters": "a",
    "digits": "4",
    "card groups": "4111 ",
    "short card groups": "411-",
    "begin": "-----BEGIN",
    "begin private key": "-----BEGIN PRIVATE KEY-----",
    "begin private key and spaces": "-----BEGIN PRIVATE KEY-----" + " " * 100,
    "password is": "password is ",
    "password colon": "password:",
    "password of": "password of a b c d e ",
    "password bare call": "password=a(",
    "passwords placeholder": "password=${",
    "password and ampersand": "password:x&",
    "nested quotes": "password=\"password='password=`",
    "escaped quotes": 'password="\\"',
    "api key is": "api key is ",
    "api key colons": "api_key:abc:",
    "tokens": "token=token=",
    "bearer": "bearer ",
    "jwt headers": "eyJ",
    "jwt starts": "-eyJaaaaaaaaaaa",
    "jwt parts": "eyJaaaaaaaaaaa.",
    "sendgrid": "SG.-",
    "openai": "-sk-",
    "urls": "://",
    "password words": "password",
    "hyphens": "password:a-",
    "dots": "a.b",
    "url users": "://a:",
    "url at": "://a:@@@@",
    "url colons": ":a@",
    "authorization": "Authorization: Basic ",
    "spaces": " ",
    "newlines": "\n",
    "marker": "[redacted: ",
}


@pytest.mark.parametrize("unit", ADVERSARIAL.values(), ids=ADVERSARIAL.keys())
@pytest.mark.parametrize(
    ("opening", "size"),
    [("", 1_000_000), ("-----BEGIN PRIVATE KEY-----\n", 250_000), ('api_key="', 250_000), ("://a:password:", 250_000)],
    ids=["alone", "after BEGIN", "after a quote", "after a password's name"],
)
def test_given_a_text_made_to_be_slow_when_redacted_then_time_stays_linear(opening: str, size: int, unit: str) -> None:
    text = opening + (unit * (size // len(unit) + 1))[:size] + "/"
    with linear():  # from a millisecond to three seconds; with its square from 40 seconds to many minutes
        redact(text)


def test_given_ordinary_words_when_tokens_are_sought_then_their_gate_stays_closed() -> None:
    words = b"We usually eat around seven and prefer restaurants nearby".translate(look.TOKEN_RUN_TABLE)
    assert look.TOKEN_RUN not in words


def test_given_a_hook_when_it_changes_a_text_then_its_change_is_counted_as_custom() -> None:
    redactor = Redactor([lambda text: text.replace("ACME-42", "[redacted: customer]")])
    assert redactor("for ACME-42, ACME-42") == ("for [redacted: customer], [redacted: customer]", {"custom": 1})
    assert redactor("ACME-42 password: hunter2") == (
        "[redacted: customer] password: [redacted: password]",
        {"password": 1, "custom": 1},
    )


def test_given_hooks_when_called_then_each_sees_what_the_one_before_it_left() -> None:
    seen: list[str] = []

    def watch(text: str) -> str:
        seen.append(text)
        return text + "!"

    assert Redactor([watch, watch])("password: hunter2")[1] == {"password": 1, "custom": 2}
    assert seen == ["password: [redacted: password]", "password: [redacted: password]!"]


def test_given_a_hook_that_changes_nothing_when_called_then_the_same_object_comes_back() -> None:
    text = "nothing here"
    redacted, counts = Redactor([lambda text: text])(text)
    assert redacted is text
    assert counts is None


def test_given_a_hook_that_raises_when_called_then_its_error_reaches_the_caller() -> None:
    def broken(text: str) -> str:
        raise LookupError(text)

    with pytest.raises(LookupError, match="hello"):
        Redactor([broken])("hello")


def test_given_redaction_is_off_when_called_then_nothing_is_done() -> None:
    def broken(text: str) -> str:
        raise LookupError(text)

    assert Redactor([broken], enabled=False)("password: hunter2") == ("password: hunter2", None)


def test_given_random_letters_and_digits_when_redacted_then_hardly_any_is_taken_for_a_card() -> None:
    source = random.Random(7)
    order_ids = [str(source.randrange(10**15, 10**16)) for _ in range(2000)]
    redacted = sum(redact(f"order {order_id} shipped")[1] is not None for order_id in order_ids)
    # Luhn lets one in ten through, the issuers' prefixes about a third of those.
    assert redacted / len(order_ids) < 0.06


def _wide(card: str) -> str:
    return "".join(chr(ord(character) + 0xFEE0) for character in card)


@pytest.mark.parametrize(
    "card",
    [
        "4111.1111.1111.1111",
        "3782.822463.10005",
        _wide("4111111111111111"),
        _wide("4111-1111-1111-1111"),
        _wide("4111.1111.1111.1111"),
        _wide("4111") + "\u3000" + _wide("1111") + "\u3000" + _wide("11111111"),
        " ".join(map(_wide, ("4111", "1111", "1111", "1111"))),
    ],
)
@pytest.mark.parametrize("around", ["{}", "pay with {}.", "番号は{}です"])
def test_given_a_card_number_with_dots_or_in_wide_digits_when_redacted_then_it_is_gone(card: str, around: str) -> None:
    redacted, counts = redact(around.format(card))
    if around.startswith("番") and card.isascii():
        assert card not in redacted
    else:
        assert redacted == around.format("[redacted: card number]")
    assert counts == {"card number": 1}
    assert redact(redacted) == (redacted, None)


@pytest.mark.parametrize(
    "text",
    ["4111.1111.1111.1112", "4.111.111.111.111.111", "1.4111.1111.1111.1111", "4111.1111.1111.1111.5", _wide("4111")],
)
def test_given_dotted_or_wide_digits_that_are_no_card_when_redacted_then_they_stay(text: str) -> None:
    assert redact(text) == (text, None)
