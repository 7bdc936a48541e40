// Products of matrices as other kernels use them: on operands that are checked already.
#pragma once

#include "mps/MatrixPass.hpp"

#include <mpsvk/MPS/CNNNeuron.hpp>

namespace mpsvk::mps {

/// result = f(alpha * op(left) * op(right) + beta * result + bias). The views say how the operands
/// are stored; the result's rows and columns are what is computed. With beta = 0 the result's
/// former contents do not count.
struct MatrixProduct {
    MatrixOperand left, right, result;
    bool transposeLeft = false, transposeRight = false;
    uint64_t interior = 0; ///< columns of op(left), rows of op(right)
    double alpha = 1, beta = 0;
    uint64_t matrices = 1;
    bool exact = false;      ///< in fp32 whatever the kernel allows
    MatrixOperand bias = {}; ///< a row, or none
    MPS::NNNeuronDescriptor neuron = MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None);
};
void encodeProduct(Encoder& encoder, const MatrixProduct& product);

} // namespace mpsvk::mps
