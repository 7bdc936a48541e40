#include "mps/MatrixProduct.hpp"

#include "MatrixMultiplication.h"
#include "mps/MatrixNeuron.hpp"
#include "vk/Instance.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {

using Parameters = glsl::MatrixMultiplicationParameters;

/// Fewer workgroups than these leave a large device without enough work.
constexpr uint64_t enoughGroups = 132;
/// A shorter part of the interior would take less time than adding it up.
constexpr uint64_t shortestPart = 256;

/// A CPU has no shared memory to win from.
bool isDirect(const vk::Device& device) {
    return device.properties().deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU &&
           !vk::isDisabled("direct_tile");
}

uint64_t ceilDivide(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

/// Sets the numbers of tiles and parts; returns the side of what an invocation computes.
uint32_t splitIntoTiles(Parameters& p) {
    const auto tiles = [&](uint64_t tile) {
        return ceilDivide(p.result.rows, tile) * ceilDivide(p.result.columns, tile) * p.matrices;
    };
    // Tiles of 128 x 128 elements, or of 64 x 64 where those are too few, or of parts of the
    // interior where these are, too.
    const uint32_t side = tiles(128) >= enoughGroups && !vk::isDisabled("large_tile") ? 8 : 4;
    p.tilesDown = uint32_t(ceilDivide(p.result.rows, 16 * side));
    p.tilesAcross = uint32_t(ceilDivide(p.result.columns, 16 * side));
    const uint64_t groups = tiles(16 * side);
    if (groups < enoughGroups && p.interior >= 2 * shortestPart) {
        const uint64_t wanted = std::min(2 * enoughGroups / groups, p.interior / shortestPart);
        p.partInterior = uint32_t(vk::roundUp(ceilDivide(p.interior, wanted), 16));
        p.parts = uint32_t(ceilDivide(p.interior, p.partInterior));
    }
    return side;
}

/// Rows of fp32 in memory of their own.
MatrixOperand rowsLike(const MatrixOperand& result) {
    MatrixOperand made;
    made.view.rows = result.view.rows;
    made.view.columns = result.view.columns;
    made.view.rowStride = uint32_t(vk::roundUp(result.columns(), 4));
    made.view.matrixStride = made.view.rows * made.view.rowStride;
    made.view.isAligned = 1;
    return made;
}

} // namespace

void encodeProduct(Encoder& encoder, const MatrixProduct& product) {
    const MatrixOperand &left = product.left, &right = product.right, &result = product.result;
    const uint64_t matrices = product.matrices;
    if (matrices == 0) return;
    Parameters p{};
    p.left = left.view;
    p.right = right.view;
    p.result = result.view;
    p.bias = product.bias.view;
    p.interior = p.partInterior = uint32_t(product.interior);
    p.parts = 1;
    p.alpha = float(product.alpha);
    p.beta = float(product.beta);
    p.matrices = uint32_t(matrices);
    setNeuron(p, product.neuron);
    const bool direct = isDirect(encoder.device());
    const uint32_t side = direct ? 4 : splitIntoTiles(p);
    const auto dispatch = [&](const char* shader, const Parameters& parameters, const Grid& grid,
                              const MatrixOperand& from, const MatrixOperand& to, bool hasBias) {
        encoder.dispatch(shader, parameters, grid,
                         {{1, from.slice},
                          {2, right.slice},
                          {3, to.slice},
                          {4, hasBias ? product.bias.slice : vk::BufferSlice{}}},
                         {constant(1, from.typeConstant()), constant(2, right.typeConstant()),
                          constant(3, to.typeConstant()), constant(4, product.bias.typeConstant()),
                          constant(32, uint32_t(product.transposeLeft)),
                          constant(33, uint32_t(product.transposeRight)), constant(34, side),
                          constant(35, uint32_t(hasBias)),
                          constant(36, uint32_t(product.neuron.neuronType()))});
    };
    const char* const shader = direct ? "MatrixMultiplicationDirect" : "MatrixMultiplication";
    const Grid grid =
        direct ? Grid::of(ceilDivide(result.rows(), 4) * ceilDivide(result.columns(), 4) * matrices)
               : Grid{uint64_t(p.tilesDown) * p.tilesAcross * 256, 1, matrices * p.parts};
    const bool hasBias = bool(product.bias.slice);
    if (p.parts == 1 && product.neuron.neuronType() == MPS::CNNNeuronType::None)
        return dispatch(shader, p, grid, left, result, hasBias);

    MatrixOperand sums = rowsLike(result);
    const auto memory =
        encoder.scratch(p.parts * matrices * sums.view.matrixStride * sizeof(float));
    sums.slice = *memory;
    Parameters part = p;
    part.result = p.left = sums.view;
    part.alpha = 1;
    part.beta = 0;
    dispatch(shader, part, grid, left, sums, false);
    dispatch("MatrixMultiplicationParts", p,
             Grid::of(sums.view.rowStride / 4 * result.rows() * matrices), sums, result, hasBias);
}

} // namespace mpsvk::mps
