"""Words to vectors: tokens, and the towers that encode them."""

from jaxret.models.text.encoder import TextVideoEncoder, Words
from jaxret.models.text.tokens import TOKENIZER_FILES, Tokenizer, has_tokenizer, read_tokenizer
from jaxret.models.text.tower import TextTower

__all__ = ["TOKENIZER_FILES", "TextTower", "TextVideoEncoder", "Tokenizer", "Words", "has_tokenizer", "read_tokenizer"]
