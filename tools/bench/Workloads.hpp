// Cases made into work for a device. What a workload captures is all the memory it needs.
#pragma once

#include "CaseTable.hpp"
#include "Timer.hpp"

#include <mpsvk/MPS/CoreTypes.hpp>

namespace mpsvk::bench {

/// Of a case's kernels.
inline MPS::KernelOptions optionsOf(const Case& c) {
    return c.mode == "fp32_reduced" ? MPS::KernelOptions::AllowReducedPrecision
                                    : MPS::KernelOptions::None;
}

/// Records one repeat of the case. Throws FormatError for a case of an unknown name.
Encode makeWorkload(const MTL::CommandQueue& queue, const Case& given);

// Of the groups; makeWorkload chooses among them.
Encode makeCopy(const MTL::CommandQueue& queue, const Case& given);
Encode makeConvolution(const MTL::CommandQueue& queue, const Case& given);
Encode makeMemoryBound(const MTL::CommandQueue& queue, const Case& given);
Encode makeGramMatrix(const MTL::CommandQueue& queue, const Case& given);
Encode makeMatrixProduct(const MTL::CommandQueue& queue, const Case& given);
Encode makeUpdate(const MTL::CommandQueue& queue, const Case& given);
Encode makeTrainingStep(const MTL::CommandQueue& queue, const Case& given);

} // namespace mpsvk::bench
