#include "mps/MatrixProduct.hpp"

#include "MatrixMultiplication.h"
#include "mps/DeviceTable.hpp"
#include "mps/MatrixNeuron.hpp"
#include "mps/ProductTile.hpp"
#include "mps/TileTrial.hpp"
#include "vk/Instance.hpp"

#include <algorithm>

namespace mpsvk::mps {

namespace {

using Parameters = glsl::MatrixMultiplicationParameters;

/// A shorter part of the interior would take less time than adding it up.
constexpr uint64_t shortestPart = 256;
/// Parts of a longer one fill the device with larger tiles.
constexpr uint64_t longInterior = 1024;

/// A CPU has no shared memory to win from.
bool isDirect(const vk::Device& device) {
    return device.properties().deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU &&
           !vk::isDisabled("direct_tile");
}

/// Whether the product can go through cooperative matrices, and fills their tiles well enough.
bool isCooperative(const vk::Device& device, const MatrixProduct& product) {
    return device.features().cooperativeMatrix && product.left.isInEights() &&
           product.right.isInEights() && product.interior % 8 == 0 && product.interior >= 32 &&
           product.result.rows() >= 32 && product.result.columns() >= 32;
}

/// See glsl/matrixTiles.glsl.
bool isInFours(const glsl::MatrixView& v) { return v.isAligned && v.columns % 4 == 0; }

/// The same of bf16, for operands of which one or both are in fp32.
bool isReduced(const Encoder& encoder, const MatrixProduct& product) {
    return encoder.reducesPrecision() && !product.exact && isInFours(product.left.view) &&
           isInFours(product.right.view) && product.interior % 4 == 0 && product.interior >= 32 &&
           product.result.rows() >= 32 && product.result.columns() >= 32;
}

uint64_t ceilDivide(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

uint64_t tileCount(const Parameters& p, uint64_t rows, uint64_t columns) {
    return ceilDivide(p.result.rows, rows) * ceilDivide(p.result.columns, columns) * p.matrices;
}

/// A body of glsl/MatrixMultiplication.glsl.
struct SharedTile {
    const char* shader;
    uint32_t rows, columns, invocations;
    /// Elements of the tiles: more than the result's by what lies beyond its end.
    uint64_t elements(const Parameters& p) const {
        return tileCount(p, rows, columns) * rows * columns;
    }
};

/// Fewer workgroups than one for each multiprocessor leave the device without enough work.
SharedTile sharedTile(const vk::Limits& limits, const Parameters& p) {
    constexpr SharedTile large{"MatrixMultiplication", 128, 128, 128},
        tall{"MatrixMultiplicationTall", 256, 64, 128},
        small{"MatrixMultiplicationSmall", 64, 64, 256},
        low{"MatrixMultiplicationLow", 32, 64, 128};
    const uint64_t enoughGroups = groupsFor(limits, 1);
    // The others' operands take 17 to 21 KiB, and sums of the large ones 128 registers.
    constexpr uint32_t sharedBytes = 21 * 1024, sums = 128;
    if (limits.sharedMemoryBytes < sharedBytes || limits.workGroupInvocations < small.invocations)
        return low;
    const DeviceTable table = tableOf(limits.processor);
    const bool hasLarge = table.isMeasured || table.mostSums >= sums;
    const auto isEnough = [&](const SharedTile& tile) {
        const uint64_t groups = tileCount(p, tile.rows, tile.columns);
        const bool splits =
            p.interior >= longInterior && groups * (p.interior / shortestPart) >= 2 * enoughGroups;
        return hasLarge && (groups >= enoughGroups || splits) && !vk::isDisabled("large_tile");
    };
    if (isEnough(tall) && tall.elements(p) < large.elements(p)) return tall;
    return isEnough(large) ? large : small;
}

void splitIntoTiles(Parameters& p, uint32_t rows, uint32_t columns) {
    p.tilesDown = uint32_t(ceilDivide(p.result.rows, rows));
    p.tilesAcross = uint32_t(ceilDivide(p.result.columns, columns));
}

/// Splits the interior into about so many parts of whole steps.
void splitIntoParts(Parameters& p, uint64_t parts, uint32_t depth) {
    if (parts <= 1) return; // also where the interior is empty
    p.partInterior = uint32_t(vk::roundUp(ceilDivide(p.interior, parts), depth));
    p.parts = uint32_t(ceilDivide(p.interior, p.partInterior));
}

/// The parts that give the device enough workgroups where the tiles alone are too few.
uint64_t partsFor(const Parameters& p, uint64_t groups, uint64_t enoughGroups) {
    if (groups >= enoughGroups || p.interior < 2 * shortestPart) return 1;
    return std::min(2 * enoughGroups / groups, p.interior / shortestPart);
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
    auto& device = encoder.device();
    const vk::Limits limits = tileLimits(device);
    const char* shader = "MatrixMultiplicationDirect";
    Grid grid = Grid::of(ceilDivide(result.rows(), 4) * ceilDivide(result.columns(), 4) * matrices);
    std::vector<vk::Constant> ofTile;
    const bool cooperative = isCooperative(device, product);
    const bool reduced = !cooperative && isReduced(encoder, product);
    const bool isTiled = cooperative || reduced;
    const ProductShape shape{.rows = result.rows(),
                             .columns = result.columns(),
                             .interior = p.interior,
                             .bfloat16 = reduced,
                             .products = matrices,
                             .rightAlong = product.transposeRight};
    const ProductPlan plan = isTiled ? planProduct(limits, shape) : ProductPlan();
    const auto setTile = [&](const ProductTile& tile) {
        splitIntoTiles(p, tile.rows(), tile.columns());
        grid = {uint64_t(p.tilesDown) * p.tilesAcross * tile.invocations(encoder.limits()), 1,
                matrices * p.parts};
        ofTile = tile.constants(device);
    };
    if (isTiled) {
        splitIntoParts(p, plan.parts, plan.tile.depth);
        shader = reduced ? "MatrixMultiplicationBfloat16" : "MatrixMultiplicationCooperative";
    } else if (!isDirect(device)) {
        const SharedTile tile = sharedTile(limits, p);
        splitIntoTiles(p, tile.rows, tile.columns);
        splitIntoParts(p, partsFor(p, tileCount(p, tile.rows, tile.columns), groupsFor(limits, 1)),
                       16);
        shader = tile.shader;
        grid = {uint64_t(p.tilesDown) * p.tilesAcross * tile.invocations, 1, matrices * p.parts};
    }
    // See WHOLE in glsl/MatrixMultiplication.glsl. Results and parts have aligned rows of their
    // own.
    const bool whole = isInFours(left.view) && isInFours(right.view) && isInFours(result.view) &&
                       result.rows() % 4 == 0 && p.interior % 16 == 0;
    const auto constantsFor = [&](const MatrixOperand& from, const MatrixOperand& to,
                                  bool hasBias) {
        std::vector<vk::Constant> constants = {constant(1, from.typeConstant()),
                                               constant(2, right.typeConstant()),
                                               constant(3, to.typeConstant()),
                                               constant(4, product.bias.typeConstant()),
                                               constant(32, uint32_t(product.transposeLeft)),
                                               constant(33, uint32_t(product.transposeRight)),
                                               constant(35, uint32_t(hasBias)),
                                               constant(36, uint32_t(product.neuron.neuronType())),
                                               constant(37, uint32_t(whole))};
        constants.insert(constants.end(), ofTile.begin(), ofTile.end());
        return constants;
    };
    const bool hasBias = bool(product.bias.slice);
    const bool isOne = p.parts == 1 && product.neuron.neuronType() == MPS::CNNNeuronType::None;
    MatrixOperand sums = isOne ? result : rowsLike(result);
    std::shared_ptr<const vk::BufferSlice> memory;
    if (!isOne) {
        memory = encoder.scratch(p.parts * matrices * sums.view.matrixStride * sizeof(float));
        sums.slice = *memory;
    }
    const Operand operands[] = {{1, left.slice},
                                {2, right.slice},
                                {3, sums.slice},
                                {4, isOne && hasBias ? product.bias.slice : vk::BufferSlice{}}};
    const auto sumsOf = [&]() -> TileDispatch {
        Parameters part = p;
        if (!isOne) {
            part.result = sums.view;
            part.alpha = 1;
            part.beta = 0;
        }
        const auto bytes = std::as_bytes(std::span(&part, 1));
        return {
            shader, grid, {bytes.begin(), bytes.end()}, constantsFor(left, sums, isOne && hasBias)};
    };
    const auto withTile = [&](const ProductTile& tile) {
        setTile(tile);
        return sumsOf();
    };
    const TileDispatch first =
        isTiled ? withTile(pickTile(encoder, shape, plan, operands, withTile)) : sumsOf();
    encoder.dispatchBytes(first.shader, first.parameters, first.grid, operands, first.constants,
                          {});
    if (isOne) return;
    p.left = sums.view;
    const Operand all[] = {{1, sums.slice},
                           {2, right.slice},
                           {3, result.slice},
                           {4, hasBias ? product.bias.slice : vk::BufferSlice{}}};
    encoder.dispatchBytes("MatrixMultiplicationParts", std::as_bytes(std::span(&p, 1)),
                          Grid::of(sums.view.rowStride / 4 * result.rows() * matrices), all,
                          constantsFor(sums, result, hasBias), {});
}

} // namespace mpsvk::mps
