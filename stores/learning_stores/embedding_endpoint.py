"""Where embeddings come from: a model, its address, its key, and the number of dimensions that is asked for."""

from dataclasses import dataclass, field

OPENAI_URL = "https://api.openai.com/v1"
DEFAULT_MODEL = "text-embedding-3-small"
MAX_DIMENSIONS = 16_000
"""Of a vector in pgvector."""

_NO_KEY = "none"  # for servers that want no key; the SDK wants one


@dataclass(frozen=True, kw_only=True)
class EmbeddingEndpoint:
    """An OpenAI-compatible server's model. `name` is what its vectors are stored under.

    Vectors of another number of dimensions are those of another model: where a number is asked for, it is part of the name.
    """

    model: str
    base_url: str = OPENAI_URL
    key: str | None = field(default=None, repr=False)
    dimensions: int | None = None

    @property
    def name(self) -> str:
        """`text-embedding-3-small`, or `text-embedding-3-large@256` where dimensions are asked for."""
        return embedding_name(self.model, self.dimensions)

    @property
    def is_openai(self) -> bool:
        """Whether it is OpenAI's own, which takes no call without a key."""
        return self.base_url.rstrip("/") == OPENAI_URL

    @property
    def sent_key(self) -> str:
        """What is sent as the key."""
        return self.key or _NO_KEY


def embedding_name(model: str, dimensions: int | None) -> str:
    """The name that vectors are stored under."""
    return model if dimensions is None else f"{model}@{dimensions}"


def parsed_name(name: str) -> tuple[str, int | None]:
    """Model and dimensions of such a name."""
    model, at, dimensions = name.rpartition("@")
    if at and model and dimensions.isascii() and dimensions.isdigit() and 1 <= int(dimensions) <= MAX_DIMENSIONS:
        return model, int(dimensions)
    return name, None
