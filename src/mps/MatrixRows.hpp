// How a workgroup's invocations share the rows of matrices: glsl/matrixRow.glsl.
#pragma once

#include "mps/MatrixPass.hpp"

namespace mpsvk::mps {

struct MatrixRows {
    /// Of `operands`, all cut to the same rows and columns. Only the columns and the operands'
    /// types and alignment decide, so that a batch gives the same bits however it is cut.
    MatrixRows(Encoder& encoder, uint64_t matrices,
               std::initializer_list<const MatrixOperand*> operands);

    Grid grid;
    uint32_t blocks; ///< of a row
    /// Of the operands' types and of the shader's constants 32 to 34.
    std::vector<vk::Constant> constants;
};

} // namespace mpsvk::mps
