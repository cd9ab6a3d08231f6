"""Reads and writes a Hugging Face model folder with numpy alone: config.json and *.safetensors.

A safetensors file is a little-endian u64 N, then N bytes of JSON, then the data:

    | N: 8 bytes | {"name": {"dtype", "shape", "data_offsets": [begin, end]}, ...} | tensors |

Offsets count from the end of the JSON. A sharded model has model-0000i-of-0000n.safetensors files
and model.safetensors.index.json, whose "weight_map" says which file holds which tensor.

In memory every tensor is a numpy array of fp32: BF16, which numpy lacks, is the upper half of it.
Where a model is too large for that, blocks of rows are written as they are made (Blocks), and files
are mapped and converted a block at a time (Mapped).
"""

import json
import math
import os
import struct

import numpy as np

ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
TORCH_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


BLOCK_ITEMS = 1 << 23  # of a tensor at once: 64 MiB in double precision


class Blocks:
    """A tensor to write whose parts are made when they are asked for, in order, once."""

    def __init__(self, shape, parts):
        """`parts`: an iterator over fp32 arrays that make up the tensor one after the other."""
        self.shape, self.parts = shape, parts
        self.size = math.prod(shape)


class Mapped:
    """A matrix in a file, for products in double precision; a block of its rows in memory at once."""

    def __init__(self, path, begin, dtype, shape):
        self.dtype, self.shape = dtype, shape
        self.raw = np.memmap(path, "<f4" if dtype == "F32" else "<u2", "r", begin, tuple(shape))

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        raw = np.asarray(self.raw[rows])
        return decode(raw.tobytes(), self.dtype, raw.shape).astype(np.float64)

    def __matmul__(self, x):
        rows = max(1, BLOCK_ITEMS // self.shape[1])
        return np.concatenate([self[i:i + rows] @ x for i in range(0, len(self), rows)])


def encode(array, dtype):
    """The bytes of fp32 `array` as `dtype`, rounded to nearest, ties to even."""
    array = np.ascontiguousarray(array, dtype="<f4")
    if dtype == "F32":
        return array.tobytes()
    if dtype == "F16":
        return array.astype("<f2").tobytes()
    bits = array.view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def decode(data, dtype, shape):
    """The inverse of encode(): fp32 values, exact."""
    if dtype == "BF16":
        array = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    else:
        array = np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[dtype]).astype("<f4")
    return array.reshape(shape)


def write_file(path, tensors, dtype):
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, array in tensors.items():
        begin, end = end, end + array.size * ITEM_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # The data then starts on a multiple of 8.
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            for array in tensor.parts if isinstance(tensor, Blocks) else [tensor]:
                out.write(encode(array, dtype))


def read_header(path):
    """(name -> {"dtype", "shape", "data_offsets"}, where in the file offset 0 is)."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > os.path.getsize(path) - 8:
            raise ValueError(f"{path}: header of {length} bytes is longer than the file")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if entry["dtype"] not in ITEM_BYTES:
            raise ValueError(f"{path}: tensor {name} has dtype {entry['dtype']}")
    return header, 8 + length


def read_file(path):
    header, start = read_header(path)
    with open(path, "rb") as file:
        file.seek(start)
        data = file.read()
    return {name: decode(data[slice(*entry["data_offsets"])], entry["dtype"], entry["shape"])
            for name, entry in header.items()}


def map_file(path):
    """name -> Mapped of a matrix, or an array in double precision of a vector."""
    header, start = read_header(path)
    tensors = {}
    for name, entry in header.items():
        tensor = Mapped(path, start + entry["data_offsets"][0], entry["dtype"], entry["shape"])
        tensors[name] = tensor if len(entry["shape"]) == 2 else tensor[:]
    return tensors


def save(folder, config, tensors, dtype, shards=1):
    """Writes the folder. `tensors` (name -> array) go to the shards in order, evenly by count."""
    os.makedirs(folder, exist_ok=True)
    config = dict(config, torch_dtype=TORCH_NAMES[dtype])
    with open(os.path.join(folder, "config.json"), "w") as out:
        out.write(json.dumps(config, indent=2) + "\n")
    if shards == 1:
        write_file(os.path.join(folder, "model.safetensors"), tensors, dtype)
        return
    names, weight_map = list(tensors), {}
    for i in range(shards):
        part = names[i * len(names) // shards:(i + 1) * len(names) // shards]
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        write_file(os.path.join(folder, file), {n: tensors[n] for n in part}, dtype)
        weight_map.update((n, file) for n in part)
    size = sum(array.size for array in tensors.values()) * ITEM_BYTES[dtype]
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as out:
        index = {"metadata": {"total_size": size}, "weight_map": weight_map}
        out.write(json.dumps(index, indent=2) + "\n")


def load(folder, read=read_file):
    """(config, name -> what `read` makes of its tensors: fp32 arrays) of a folder, sharded or not."""
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    index = os.path.join(folder, "model.safetensors.index.json")
    if not os.path.exists(index):
        return config, read(os.path.join(folder, "model.safetensors"))
    with open(index) as file:
        weight_map = json.load(file)["weight_map"]
    tensors = {}
    for name in sorted(set(weight_map.values())):
        tensors.update(read(os.path.join(folder, name)))
    return config, tensors


def llama_config(hidden, ffn, layers, heads, kv_heads, vocab, context, head_dim=None, tied=True):
    """A config.json of LlamaForCausalLM; torch_dtype is added by save()."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim or hidden // heads,
        "vocab_size": vocab,
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "tie_word_embeddings": tied,
        "attention_bias": False,
        "mlp_bias": False,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
