"""A tiny random GPT-2 with a byte-level BPE tokenizer of vocab.json and merges.txt, as the published ones have it."""

import json
from pathlib import Path

END = "<|endoftext|>"


def make_tiny_gpt2(folder: Path, **changes: object) -> Path:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel

    from data import embedded

    texts = [path.read_text(encoding="utf-8") for path in sorted(Path(embedded.__file__).parent.glob("sample/*.json"))]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=sorted(alphabet), show_progress=False)
    tokenizer.train_from_iterator([*texts, "### Context " * 500], trainer)
    bpe = json.loads(tokenizer.to_str())["model"]
    vocabulary = bpe["vocab"] | {END: len(bpe["vocab"])}
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(merge) for merge in bpe["merges"])]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "GPT2Tokenizer", "bos_token": END, "eos_token": END, "unk_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    torch.manual_seed(0)
    end = vocabulary[END]
    sizes = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 1024, "initializer_range": 0.2} | changes
    config = GPT2Config(vocab_size=len(vocabulary), bos_token_id=end, eos_token_id=end, **sizes)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder
