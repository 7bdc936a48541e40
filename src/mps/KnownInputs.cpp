#include "mps/KnownInputs.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {

/// Calls `each` with every batch, the images' first, until it returns false.
template <class Each> bool all(const GraphInputs& inputs, const Each& each) {
    return std::ranges::all_of(inputs.images, each) && std::ranges::all_of(inputs.states, each);
}

} // namespace

void KnownInputs::set(const GraphInputs& inputs) {
    clear();
    all(inputs, [&](const auto& batch) {
        auto& known = batches_.emplace_back();
        for (const auto& object : batch) known.emplace_back(object);
        return true;
    });
}

bool KnownInputs::are(const GraphInputs& inputs) const {
    if (batches_.size() != inputs.images.size() + inputs.states.size()) return false;
    auto next = batches_.begin();
    return all(inputs, [&](const auto& batch) {
        return std::ranges::equal(batch, *next++, [](const auto& object, const KnownObject& known) {
            return known.is(object);
        });
    });
}

} // namespace mpsvk::mps
