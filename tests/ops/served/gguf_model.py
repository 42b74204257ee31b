"""A Hugging Face Llama folder as a GGUF file, so that llama.cpp can serve the very model that the tests score here."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import sentencepiece as spm
from torch import Tensor

from lang1_assets.ops.model import open_model

LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
# Just enough of a template for the server's chat endpoint: the message as it is.
CHAT_TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}"


def write_gguf(model_folder: Path, path: Path) -> None:
    """32-bit weights and the folder's SentencePiece vocabulary."""
    model = open_model(model_folder)
    writer = gguf.GGUFWriter(str(path), "llama")
    add_shape(writer, model.config)
    add_vocabulary(writer, model_folder / "tokenizer.model")
    for name, tensor in gguf_tensors(model).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_shape(writer: Any, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def add_vocabulary(writer: Any, model_file: Path) -> None:
    pieces = spm.SentencePieceProcessor(model_file=str(model_file))
    size = pieces.get_piece_size()
    writer.add_tokenizer_model("llama")
    writer.add_token_list([pieces.id_to_piece(i) for i in range(size)])
    writer.add_token_scores([pieces.get_score(i) for i in range(size)])
    writer.add_token_types([piece_type(pieces, i) for i in range(size)])
    writer.add_bos_token_id(pieces.bos_id())
    writer.add_eos_token_id(pieces.eos_id())
    writer.add_unk_token_id(pieces.unk_id())
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHAT_TEMPLATE)


def piece_type(pieces: Any, number: int) -> gguf.TokenType:
    if pieces.is_unknown(number):
        return gguf.TokenType.UNKNOWN
    if pieces.is_control(number):
        return gguf.TokenType.CONTROL
    return gguf.TokenType.BYTE if pieces.is_byte(number) else gguf.TokenType.NORMAL


def gguf_tensors(model: Any) -> dict[str, np.ndarray]:
    config = model.config
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    tensors = {
        "token_embd.weight": model.model.embed_tokens.weight,
        "output_norm.weight": model.model.norm.weight,
        "output.weight": model.lm_head.weight,
    }
    for number, layer in enumerate(model.model.layers):
        weights = layer.state_dict()
        for name, short in LAYER_NAMES.items():
            weight = weights[f"{name}.weight"]
            num_heads = heads.get(name.rsplit(".", 1)[-1])
            tensors[f"blk.{number}.{short}.weight"] = interleaved(weight, num_heads) if num_heads else weight
    return {name: tensor.detach().float().contiguous().numpy() for name, tensor in tensors.items()}


def interleaved(weight: Tensor, num_heads: int) -> Tensor:
    """llama.cpp rotates neighbouring dimensions of a head, Hugging Face the two halves of it."""
    rows, columns = weight.shape
    return weight.view(num_heads, 2, rows // num_heads // 2, columns).transpose(1, 2).reshape(rows, columns)
