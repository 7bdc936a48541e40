// Networks in training: the graph with all that a step of it needs.
#pragma once

#include "CaseTable.hpp"

#include <mpsvk/MPS/NNGraph.hpp>
#include <mpsvk/MTL/CommandQueue.hpp>

namespace mpsvk::bench {

struct Training {
    MPS::NNGraph graph;
    std::vector<MPS::ImageBatch> pictures; ///< one batch
    std::vector<MPS::StateBatch> labels;   ///< likewise; after a step also each picture's loss

    void encode(const MTL::CommandBuffer& commands) const {
        graph.encodeBatch(commands, pictures, labels);
    }
};

/// On random pictures; steps update all parameters on the GPU. Throws FormatError for a network of
/// an unknown name.
Training makeTraining(const MTL::CommandQueue& queue, const Case& given);

} // namespace mpsvk::bench
