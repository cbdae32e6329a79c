"""Run llama.cpp's server with a generated reranker of random weights, and print its URL.

The model is a BERT with one layer and single characters as tokens. No network is needed. `--write FILE` only writes the model, for
another build of llama.cpp.
"""

import os
import signal
import string
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import gguf
import numpy as np

WIDTH, HEADS, INNER, LONGEST = 32, 2, 64, 4096
SEED = 4
CONTROLS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHARACTERS = string.ascii_lowercase + string.digits + string.punctuation


def write(path: Path) -> None:
    """Write the model as GGUF, with the pooling of a reranker."""
    # WordPiece in the form of llama.cpp: tokens at the beginning of a word have a mark
    pieces = [*CONTROLS, *(f"\u2581{one}" for one in CHARACTERS), *CHARACTERS]
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("interop-random")
    writer.add_context_length(LONGEST)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_block_count(1)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(value=False)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(pieces)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if piece in CONTROLS else gguf.TokenType.NORMAL for piece in pieces]
    )
    writer.add_token_type_count(2)
    for name, number in (("pad", 0), ("unk", 1), ("cls", 2), ("sep", 3), ("mask", 4), ("bos", 2), ("eos", 3)):
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", number)

    random = np.random.default_rng(SEED)
    shapes = {
        "token_embd.weight": (len(pieces), WIDTH),
        "token_types.weight": (2, WIDTH),
        "position_embd.weight": (LONGEST, WIDTH),
        "token_embd_norm": (WIDTH,),
        **{f"blk.0.attn_{name}.weight": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")},
        **{f"blk.0.attn_{name}.bias": (WIDTH,) for name in ("q", "k", "v", "output")},
        "blk.0.attn_output_norm": (WIDTH,),
        "blk.0.ffn_up.weight": (INNER, WIDTH),
        "blk.0.ffn_up.bias": (INNER,),
        "blk.0.ffn_down.weight": (WIDTH, INNER),
        "blk.0.ffn_down.bias": (WIDTH,),
        "blk.0.layer_output_norm": (WIDTH,),
        "cls.weight": (WIDTH, WIDTH),
        "cls.bias": (WIDTH,),
        "cls.output.weight": (1, WIDTH),
        "cls.output.bias": (1,),
    }
    for name, shape in shapes.items():
        if name.endswith("_norm"):
            writer.add_tensor(f"{name}.weight", np.ones(shape, "float32"))
            writer.add_tensor(f"{name}.bias", np.zeros(shape, "float32"))
        else:
            writer.add_tensor(name, random.normal(0, 0.3, shape).astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Serve until SIGTERM with the key in INTEROP_KEY; print the URL on standard output."""
    import xllamacpp  # noqa: PLC0415 - not needed for --write

    with TemporaryDirectory(prefix="interop-llama-") as home:
        model = Path(home, "random.gguf")
        write(model)
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(model)
        parameters.embedding = True
        parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = LONGEST
        parameters.n_parallel = 1
        parameters.cpuparams.n_threads = 1
        parameters.hostnames = ["127.0.0.1"]
        parameters.port = 0
        parameters.api_keys = [os.environ["INTEROP_KEY"]]
        server = xllamacpp.Server(parameters)
        print(server.listening_address, flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        signal.pause()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(Path(sys.argv[2]))
    else:
        main()
