#pragma once
// A Llama shape in which nothing divides evenly: 6 heads of 48 elements, 3 KV heads, 1001 ids.

#include "runtime/model/model_config.h"

namespace lockstep {

inline ModelConfig OddModel(int hidden, int ffn, int layers) {
  ModelConfig m;
  m.architecture = "LlamaForCausalLM";
  m.hidden_size = hidden, m.intermediate_size = ffn, m.layers = layers, m.head_dim = 48;
  m.heads = 6, m.kv_heads = 3, m.vocab_size = 1001, m.max_positions = 4096;
  return m;
}

}  // namespace lockstep
