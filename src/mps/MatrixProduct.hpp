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
    bool exact = false; ///< as in fp32, whatever the kernel allows
    /// The result is its own transpose: half of it is enough, which is then mirrored. Without a
    /// bias and a neuron.
    bool symmetric = false;
    /// Of the interior, what is summed up by itself: a multiple of 64, so that no tile changes the
    /// sums; 0: what is fastest. Kernels for CPUs have no parts.
    uint64_t partInterior = 0;
    MatrixOperand bias = {}; ///< a row, or none
    MPS::NNNeuronDescriptor neuron = MPS::NNNeuronDescriptor(MPS::CNNNeuronType::None);
};
void encodeProduct(Encoder& encoder, const MatrixProduct& product);

/// The least lengths that fill tiles of cooperative matrices, and what else tiles of three bf16
/// must have to be no slower than products in fp32.
constexpr uint64_t leastInterior = 32, leastSplitRows = 64, leastSplitColumns = 96;

/// What multiplies: it depends on types, sizes and alignments.
enum class ProductKernel { Direct, Shared, Bfloat16, Cooperative };
ProductKernel productKernel(const vk::Device& device, bool reducesPrecision,
                            const MatrixProduct& product);
/// What encodeProduct takes of scratch memory where the parts are given.
uint64_t productScratchBytes(const vk::Device& device, bool reducesPrecision,
                             const MatrixProduct& product);

} // namespace mpsvk::mps
