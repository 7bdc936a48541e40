// Where the plans of a queue keep their temporaries: they run one after the other, and so all of
// them use the same memory.
#pragma once

#include "mps/TemporaryHeap.hpp"

namespace mpsvk::mps {

struct PlanArena {
    std::shared_ptr<TemporaryHeap> heap;
    std::mutex recording; ///< held while a plan is recorded
};

std::shared_ptr<PlanArena> planArena(const MTL::CommandBuffer& commandBuffer);
/// Makes the arena's heap the one of `recording`. To be reset when all is recorded.
void useArena(const MTL::CommandBuffer& recording, const PlanArena& arena);

} // namespace mpsvk::mps
