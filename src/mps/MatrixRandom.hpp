// What random number generators share.
#pragma once

#include "MatrixRandom.h"
#include "mps/MatrixPass.hpp"

namespace mpsvk::mps {

/// One encode of a generator: everything but its state is in the parameters.
struct RandomFill {
    MatrixOperands& operands;
    vk::BufferSlice destination;
    glsl::MatrixRandomParameters parameters;
    uint32_t distribution; ///< constant 32 of the shaders

    uint64_t elements() const {
        return uint64_t(parameters.destination.rows) * parameters.destination.columns *
               parameters.matrices;
    }
};

} // namespace mpsvk::mps
