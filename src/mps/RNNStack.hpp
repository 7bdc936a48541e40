// A stack of recurrent layers in one direction over a sequence, without gradients.
#pragma once

#include "mps/RNNState.hpp"

namespace mpsvk::mps {

struct RNNStackRequest {
    std::vector<std::shared_ptr<const RNNShape>> layers;
    std::vector<RNNSequence::Weights> weights; ///< of each layer
    std::span<const uint64_t> rows;            ///< of each time step
    std::vector<ArrayView> sources, destinations;
    bool isBackward = false, addsToDestinations = false;
    const MPS::RNNRecurrentMatrixState::Impl* initial = nullptr;
    RNNStateWriter* writer = nullptr;
    bool storesAll = false; ///< in the writer
};

class RNNStack {
public:
    RNNStack(Encoder& encoder, const RNNStackRequest& request)
        : encoder_(encoder), request_(request), carries_(request.layers.size()) {}
    /// Long sequences are worked on in turns, so that memory for some of the steps is enough.
    void encode();

private:
    /// What a layer goes on with in the next turn.
    struct Carry {
        uint64_t rows = 0;
        std::shared_ptr<const vk::BufferSlice> output, cell;
    };
    void encodeSteps(size_t first, size_t count, bool begins, bool ends);
    void encodeLayer(size_t layer, size_t first, const RNNMemory& memory,
                     std::span<const ArrayView> inputs, bool begins);
    void writeStates(size_t layer, size_t first, const RNNMemory& memory);
    void copy(const vk::BufferSlice& from, const vk::BufferSlice& to, uint64_t bytes);

    Encoder& encoder_;
    const RNNStackRequest& request_;
    std::vector<Carry> carries_;
};

} // namespace mpsvk::mps
