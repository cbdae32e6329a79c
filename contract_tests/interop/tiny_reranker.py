"""Write a reranker of random weights in the form of transformers: `tiny_reranker.py DIRECTORY`.

The model is a BERT with one layer and single characters as tokens, for servers that load a directory (vLLM, infinity, TEI). The
script needs transformers and torch, and no network.
"""

import string
import sys
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

SEED = 4
LONGEST = 4096  # characters of a query and a document together
CONTROLS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHARACTERS = string.ascii_lowercase + string.digits + string.punctuation


def write(home: Path) -> None:
    """Write the configuration, the weights and the tokenizer."""
    home.mkdir(parents=True, exist_ok=True)
    words = [*CONTROLS, *CHARACTERS, *(f"##{one}" for one in CHARACTERS)]
    vocabulary = home / "vocab.txt"
    vocabulary.write_text("\n".join(words) + "\n", "utf-8")
    configuration = BertConfig(
        vocab_size=len(words),
        hidden_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=LONGEST,
        num_labels=1,
        initializer_range=0.3,
    )
    torch.manual_seed(SEED)
    model = BertForSequenceClassification(configuration)
    model.save_pretrained(home)
    BertTokenizer(str(vocabulary), model_max_length=LONGEST).save_pretrained(home)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
