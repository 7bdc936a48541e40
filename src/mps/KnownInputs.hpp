// The images and states of an encode, to recognize them when they come again.
#pragma once

#include <mpsvk/MPS/Image.hpp>
#include <mpsvk/MPS/State.hpp>

#include <memory>
#include <vector>

namespace mpsvk::mps {

/// What an encode of a graph is given, for as long as it lasts.
struct GraphInputs {
    const std::vector<MPS::ImageBatch>& images;
    const std::vector<MPS::StateBatch>& states;
};

/// Keeps none of them alive.
class KnownInputs {
public:
    void clear() { batches_.clear(); }
    void set(const GraphInputs& inputs);
    /// Whether they are the very same objects in the same batches. Reads none of the objects.
    bool are(const GraphInputs& inputs) const;

private:
    struct Known {
        const void* address;
        /// No other object has this owner while it is kept, wherever it lies.
        std::weak_ptr<const detail::ObjectImpl> owner;
    };
    std::vector<std::vector<Known>> batches_;
};

} // namespace mpsvk::mps
