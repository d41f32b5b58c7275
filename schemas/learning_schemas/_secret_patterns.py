"""What secrets look like: the patterns of redaction, each beside the gate that must open before it is tried.

Invariants that the tests hold:

- A gate never stays closed over a text in which its pattern would find a secret.
- No pattern takes more than linear time: what repeats without bound is not followed by anything that can fail, or
  cannot start again inside what it has read.
- A match never ends before a letter or digit, no pattern starts at a marker's own words, and no look around a match
  depends on what another match may replace, so that redacting a redacted text changes nothing.

Gates and separators are tried on Latin-1 bytes, where every character outside Latin-1 has become `?`: offsets stay
those of the text, and lower case folds ASCII alone.
"""

import re
import string

API_KEY = "api key"
PASSWORD = "password"  # noqa: S105 - the name of a kind of secret
PRIVATE_KEY = "private key"
CARD_NUMBER = "card number"

_ALNUM = string.ascii_letters + string.digits

# Provider keys. They are looked for only inside runs of 16 or more of these characters: ordinary words are shorter.
TOKEN_RUN = b"x" * 16
TOKEN_RUN_TABLE = bytes(ord("x") if chr(i) in _ALNUM + "_.-" else ord(" ") for i in range(256))
TOKEN = re.compile(
    r"""(?<![A-Za-z0-9])(?:
      sk-(?:[A-Za-z0-9]{20,}
         |(?:proj|svcacct|admin|None|ant|or|lf)-[A-Za-z0-9_-]{16,})    # OpenAI and those who copied it, Anthropic
    | [sr]k_(?:live|test)_[A-Za-z0-9]{10,}                             # Stripe
    | whsec_[A-Za-z0-9]{16,}
    | (?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])               # AWS
    | gh[pousr]_[A-Za-z0-9]{30,} | github_pat_[A-Za-z0-9_]{20,}        # GitHub
    | gl(?:pat|dt|ptt|rt|cbt|oas|soat|ft|imt|agent)-[A-Za-z0-9_-]{16,} # GitLab
    | xox[abeoprs]-[A-Za-z0-9-]{11,} | xapp-[0-9]-[A-Za-z0-9-]{16,}    # Slack
    | AIza[A-Za-z0-9_-]{30,} | GOCSPX-[A-Za-z0-9_-]{20,} | ya29\.[A-Za-z0-9_-]{20,}   # Google
    | SK[0-9a-f]{32}(?![A-Za-z0-9])                                    # Twilio
    | SG\.[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_-]{16,}                      # SendGrid
    | npm_[A-Za-z0-9]{30,} | pypi-Ag[A-Za-z0-9_-]{16,}                 # package registries
    | hf_[A-Za-z0-9]{30,} | api_org_[A-Za-z0-9]{30,}                   # Hugging Face
    | do[opr]_v1_[a-f0-9]{32,}(?![A-Za-z0-9])                          # DigitalOcean
    | (?:gsk_|xai-|pplx-|r8_|pcsk_|tvly-)[A-Za-z0-9]{30,}              # other model providers
    | dckr_pat_[A-Za-z0-9_-]{20,} | shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}(?![A-Za-z0-9])
    | AGE-SECRET-KEY-1[A-Z0-9]{40,}(?![A-Za-z0-9])
    | (?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,}+\.eyJ[A-Za-z0-9_-]{4,}+\.[A-Za-z0-9_-]*   # JSON Web Token
    )""",
    re.VERBOSE,
)

# Words that announce a secret are looked for in lower case, without what may stand between a name, its separator and
# its value; `=` counts as `:`, and every digit as 0, so that 13 zeros in a row are 13 digits however they are grouped.
# A pattern that starts with plain letters is the quickest search there is, hence the looks back.
SQUASH_DELETE = b" \t\r\n\xa0_-.\"'`*])\\"
SQUASH_TABLE = bytes.maketrans(
    string.ascii_uppercase.encode() + b"=" + string.digits.encode(), string.ascii_lowercase.encode() + b":" + b"0" * 10
)
CARD_GATE = b"0" * 13
WIDE_CARD_GATE = b"?" * 13
PASSWORD_GATE = re.compile(rb"pass[wpc]")
PWD_GATE = b"pwd"
PW_GATE = b"pw:"
KEY_GATE = re.compile(rb":(?:(?<=key:)|(?<=token:)|(?<=secret:))")
SPOKEN_KEY_GATE = re.compile(rb"is(?:(?<=keyis)|(?<=tokenis)|(?<=secretis))")
BEARER_GATE = b"bearer"
BASIC_GATE = b"authorization:basic"

_ASSIGNED = rb"""[ \t"'`*\])\\]{0,6}(?P<sep>=>|:=|={1,3}|:)[ \t*]{0,8}\n?[ \t]{0,8}"""
PASSWORD_HEAD = re.compile(
    rb"""p(?<!\[redacted:[ ]p)(?<!1p)
    (?:assw(?:ords?|ort|d)|assphrase|asscode|wd|w(?<![a-z0-9]pw)(?=[ \t"'`*\])\\]{0,6}[:=]))
    (?:"""
    + _ASSIGNED
    + rb"""
    | (?:[ ](?:for|of|on|at|in|to)(?:[ ][^\s:=]{1,24}){1,5}?)?
      [ ](?P<verb>is|was|ist|to)(?:[ ](?:now|actually|still|just|currently))?:?[ ]{1,4}\**)""",
    re.VERBOSE,
)
KEY_HEAD = re.compile(
    rb"""(?:(?P<key>key(?<!\[redacted:[ ]api[ ]key)(?<!\[redacted:[ ]private[ ]key))|token|secret)
    (?:"""
    + _ASSIGNED
    + rb"""|[ ]is:?[ ]{1,4}\**)(?:bearer[ ]{1,4})?
    | bearer[ ]{1,4}""",
    re.VERBOSE,
)
# The names under which a value may be a secret by its name alone.
NAMES = re.compile(r"(?i)pass|pwd|pw$|key|token|secret|authorization")
# "key" alone announces nothing: keys of maps, of keyboards, key points.
KEY_OWNERS = tuple(
    owner + between
    for owner in (b"access", b"account", b"api", b"auth", b"client", b"encryption", b"license", b"master", b"private",
                  b"secret", b"service", b"shared", b"signing", b"storage", b"subscription", b"webhook")
    for between in (b"", b" ", b"_", b"-", b".")
)  # fmt: skip
BASIC = re.compile(
    r"(?i:authorization)[ \"']{0,4}[:=][ \"']{0,4}(?i:basic) {1,4}(?P<secret>[A-Za-z0-9+/]{6,}={0,2})", re.ASCII
)

# A value ends where the next parameter or field starts.
VALUE = re.compile(
    r"""(?P<quote>["'`])(?P<quoted>(?:(?!(?P=quote))[^\n\\]|\\.)++)(?P=quote)
    | ["'`]?(?P<bare>(?:[^\s"'`&;,]|[&;,](?![A-Za-z0-9_.-]++[=:]|\s|$))++)""",
    re.VERBOSE | re.ASCII,
)
MARKER = "[redacted: "
MARKER_START = "[redacted:"
# A place for a value, or code that fetches it.
PLACEHOLDER = re.compile(
    r"""<|\{|\(|\[|\$\{|\$\(|\$[A-Z_][A-Z0-9_]*$|%[sr(]|[*.x_•-]+$|your[-_ ]
    |[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*(?:[(\[]|\.$)|[a-z_]+(?:\.[A-Za-z_]+)+$
    |(?:app|args|cls|config|credentials|ctx|env|options|os|params|process|request|secrets|self|settings|this|user)\.[A-Za-z_]""",
    re.VERBOSE,
)
CODE_NAME = re.compile(
    r"(?i)[a-z_]*(?:password|passwd)[a-z_]*$|[a-z]*_[a-z_]*(?:pass|pwd|secret|token|key|value)[a-z_]*$"
)
QUANTITY = re.compile(
    r"[0-9]{1,3}(?:[-+/%][0-9]{0,3})?$|(?i:sha-?[0-9]|md5|base64|utf-?8|2fa|argon2|aes-?[0-9]|pbkdf2)"
)
KEY_VALUE = re.compile(r"[A-Za-z0-9_\-+/=.~:|]+$")
DIGIT, LETTER = re.compile("[0-9]"), re.compile("[A-Za-z]")
LETTERS_ONLY = re.compile(r"[A-Za-z]{20,}={0,2}$")
RANDOM = re.compile(r"[0-9!@#$%^&+=~|\\?<>{}]|[a-z][A-Z]")
SENTENCE_END = re.compile(r"[\"'*`)]*(?:[ \t]*(?:$|\n)|[.!?;,](?:\s|$))")
# What is said of a password, after "is" or ":", at the end of a sentence.
SAID_OF_PASSWORDS = frozenset(
    """a again also always an any application asked at available back bad below better blank bool boolean bytes case
    correct default different easy empty encrypted enough exposed fake false fine first forgotten from gone good great
    hard hash hashed help here hidden important in incorrect insecure int invalid it known leaked long lost mandatory
    me mine missing mixed necessary needed never new nil no none not null ok okay old on one optional other out please
    private protected public random required reset right safe same secret secure sensitive set short simple special
    stale stored str string strong temporary terrible text that the there this to token too true undefined unique
    unknown unsafe unset useless user valid varchar visible weak what where why wrong yes yours""".split()  # noqa: SIM905 - a list of words is read as words
)
ADJECTIVE = re.compile(r"(?i).{2,}(?:ed|ing|able|ible|ful|less|ly)$")

URL = re.compile(
    r"""://(?:(?:hooks\.slack\.com/services/|discord(?:app)?\.com/api/webhooks/)(?P<webhook>[A-Za-z0-9_/-]{16,})
    |[^\s/@:"'<>]*+:(?P<password>(?!\[redacted:|\$\{|\{|\*+@)[^\s/"'<>]+)@)""",
    re.VERBOSE,
)

PEM_GATE = "-----BEGIN "
PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?(?:-----)?")
PEM_NEXT = re.compile(r"-----(?:BEGIN |(?P<end>END[A-Z0-9 ]{0,60}-{0,5}))")
# What there is of a key whose end was cut off: header lines, lines of base64, and a last piece that ends in dots.
PEM_CUT_BODY = re.compile(
    r"""(?:(?:\s|\\[nr])*+(?:[A-Za-z0-9+/=]{16,}+|(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset):[^\n\\]*+))*+
    (?:(?:\s|\\[nr])*+[A-Za-z0-9+/=]++(?=\s*(?:\.\.|…|$)))?""",
    re.VERBOSE,
)

# Groups of three or more digits, the last may be shorter. Not a phone number's +, a decimal, or part of a longer id; a
# UUID is read over whole, so that nothing inside it is taken for a number. What stands around a number and may itself
# be a secret plays no part: redacting one secret must not uncover another.
CARD = re.compile(
    r"(?P<uuid>(?<![A-Za-z0-9])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})"
    r"|[2-6](?<![A-Za-z0-9_+.].)[0-9]{2,18}(?:[ \xa0-][0-9]{3,16}){0,5}(?:[ \xa0-][0-9]{1,2})?(?![A-Za-z0-9_]|\.[0-9])"
    # Between dots only as cards are printed: longer and shorter groups are amounts, versions, addresses.
    r"|[2-6](?<![A-Za-z0-9_+.].)[0-9]{3}(?:\.[0-9]{4}\.[0-9]{4}\.[0-9]{4}|\.[0-9]{6}\.[0-9]{5})(?![A-Za-z0-9_]|\.[0-9])"
)
# Digits and separators in the width of Chinese characters; each has one that is narrow.
WIDE_CARD = re.compile("(?:[\uff10-\uff19][ \u3000\uff0d\uff0e-]?){13}")
NARROW = {0xFF10 + digit: ord("0") + digit for digit in range(10)} | {0x3000: " ", 0xFF0D: "-", 0xFF0E: "."}
# Issuer prefixes and how many digits their numbers have (ISO/IEC 7812 ranges as the networks publish them).
CARD_ISSUERS = (
    (re.compile("4"), (19, 16, 13)),
    (re.compile("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile("3[47]"), (15,)),
    (re.compile("30[0-5]|3095|3[689]"), (16, 14)),
    (re.compile("6011|64[4-9]|65|62|60|352[89]|35[3-8]|220[0-4]"), (19, 18, 17, 16)),
    (re.compile("50|5[6-8]|63|67"), (19, 18, 17, 16, 15, 14, 13)),
)
