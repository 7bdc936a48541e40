// Products of matrices.
#include "Operands.hpp"
#include "Workloads.hpp"

#include <mpsvk/MPS/MatrixMultiplication.hpp>

namespace mpsvk::bench {

Encode makeMatrixProduct(const MTL::CommandQueue& queue, const Case& c) {
    const auto type = c.mode == "fp16" ? MPS::DataType::Float16 : MPS::DataType::Float32;
    const auto matrix = [&](uint64_t rows, uint64_t columns, uint64_t seed) {
        const auto rowBytes = MPS::MatrixDescriptor::rowBytesForColumns(columns, type);
        return randomMatrix(queue, MPS::MatrixDescriptor(rows, columns, rowBytes, type), seed);
    };
    const MPS::Matrix left = matrix(c.n, c.ci, 1), right = matrix(c.ci, c.co, 2),
                      result = matrix(c.n, c.co, 3);
    const auto kernel =
        std::make_shared<MPS::MatrixMultiplication>(queue.device(), c.n, c.co, c.ci);
    kernel->setOptions(optionsOf(c));
    return
        [=](const MTL::CommandBuffer& commands) { kernel->encode(commands, left, right, result); };
}

} // namespace mpsvk::bench
