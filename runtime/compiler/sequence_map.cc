// A sequence's part of the map (runtime/compiler/sequence_map.h).
#include "runtime/compiler/sequence_map.h"

#include <type_traits>

namespace lockstep {

ModelMap AtSequence(ModelMap map, const Plan& plan, int sequence) {
  const int position = sequence * plan.batch;  // its first one
  for (Single* single : {&map.value_map_read, &map.value_map_write}) {
    *single = *single + sequence;
  }
  for (Quad* rotary : {&map.cos, &map.sin_low, &map.sin_high}) {
    *rotary = *rotary + position * plan.cache().rotary_tables();
  }
  map.token_map = map.token_map + position;
  map.key_maps = map.key_maps + sequence * plan.cache().rows_a_word();
  map.transpose_maps = map.transpose_maps + sequence * kTransposeMaps;
  map.position = map.position + position;
  map.one_hot = map.one_hot + sequence;
  const int first = sequence * plan.kv_slots;
  for (LayerMap& layer : map.layers) {
    const auto own = [&](auto& all) {
      if (all.empty()) return;
      all = std::decay_t<decltype(all)>(all.begin() + first, all.begin() + first + plan.kv_slots);
    };
    own(layer.keys), own(layer.values), own(layer.scales);
  }
  return map;
}

}  // namespace lockstep
