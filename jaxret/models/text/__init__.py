"""Words to vectors: tokens, and the towers that encode them."""

from jaxret.models.text.encoder import TextVideoEncoder, Words
from jaxret.models.text.tokens import Tokenizer, has_tokenizer, read_tokenizer, tokenizer_files
from jaxret.models.text.tower import TextTower

__all__ = ["TextTower", "TextVideoEncoder", "Tokenizer", "Words", "has_tokenizer", "read_tokenizer", "tokenizer_files"]
