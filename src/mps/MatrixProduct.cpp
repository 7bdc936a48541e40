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

/// The interior is whole chunks of `size` elements wherever it is what lies together.
bool isInChunks(const MatrixProduct& product, uint64_t size) {
    const bool isAlong = !product.transposeLeft || product.transposeRight;
    return !isAlong || product.interior % size == 0;
}

/// All lengths fill the tiles of cooperative matrices well enough.
bool fillsTiles(const MatrixProduct& product) {
    return std::min({product.interior, product.result.rows(), product.result.columns()}) >=
           leastInterior;
}

/// Whether the product can go through cooperative matrices.
bool isCooperative(const vk::Device& device, const MatrixProduct& product) {
    return device.features().cooperativeMatrix && product.left.isInEights() &&
           product.right.isInEights() && isInChunks(product, 8) && fillsTiles(product);
}

/// See glsl/matrixTiles.glsl.
bool isInFours(const glsl::MatrixView& v) { return v.isAligned && v.columns % 4 == 0; }

/// The same of bf16, for other operands: of how many an element is the sum, 0 where it cannot. The
/// number of matrices and of parts do not count.
uint32_t sharesOf(const vk::Device& device, bool reducesPrecision, const MatrixProduct& product) {
    if (!isInFours(product.left.view) || !isInFours(product.right.view) ||
        !isInChunks(product, 4) || !fillsTiles(product))
        return 0;
    if (reducesPrecision && !product.exact) return 2;
    const bool isWide =
        product.result.rows() >= leastSplitRows && product.result.columns() >= leastSplitColumns;
    return isWide && splitsFloats(tileLimits(device).processor) ? 3 : 0;
}

uint64_t tileCount(const Parameters& p, uint64_t rows, uint64_t columns) {
    return vk::divideUp(p.result.rows, rows) * vk::divideUp(p.result.columns, columns) *
           p.matrices * p.parts;
}

/// A body of glsl/MatrixMultiplication.glsl or of glsl/MatrixMultiplicationDirect.glsl.
struct PlainTile {
    const char* shader;
    uint32_t rows, columns, invocations;
    /// Elements of the tiles: more than the result's by what lies beyond its end.
    uint64_t elements(const Parameters& p) const {
        return tileCount(p, rows, columns) * rows * columns;
    }
};

/// Fewer workgroups than one for each multiprocessor leave the device without enough work.
PlainTile sharedTile(const vk::Limits& limits, const Parameters& p, bool canSplit) {
    constexpr PlainTile large{"MatrixMultiplication", 128, 128, 128},
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
    const auto isEnough = [&](const PlainTile& tile) {
        const uint64_t groups = tileCount(p, tile.rows, tile.columns);
        const bool splits = canSplit && p.interior >= longInterior &&
                            groups * (p.interior / shortestPart) >= 2 * enoughGroups;
        return hasLarge && (groups >= enoughGroups || splits) && !vk::isDisabled("large_tile");
    };
    if (isEnough(tall) && tall.elements(p) < large.elements(p)) return tall;
    return isEnough(large) ? large : small;
}

PlainTile directTile(const vk::Device& device) {
    return {device.features().subgroupBroadcast ? "MatrixMultiplicationDirectSubgroup"
                                                : "MatrixMultiplicationDirect",
            32, 16, 8};
}

void splitIntoTiles(Parameters& p, uint32_t rows, uint32_t columns) {
    p.tilesDown = uint32_t(vk::divideUp(p.result.rows, rows));
    p.tilesAcross = uint32_t(vk::divideUp(p.result.columns, columns));
}

/// Splits the interior into about so many parts of whole steps.
void splitIntoParts(Parameters& p, uint64_t parts, uint32_t depth) {
    if (parts <= 1) return; // also where the interior is empty
    p.partInterior = uint32_t(vk::roundUp(vk::divideUp(p.interior, parts), depth));
    p.parts = uint32_t(vk::divideUp(p.interior, p.partInterior));
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

/// For tiles of cooperative matrices.
ProductShape shapeOf(const MatrixProduct& product, uint32_t shares) {
    return {.rows = product.result.rows(),
            .columns = product.result.columns(),
            .interior = product.interior,
            .shares = shares,
            .products = product.matrices,
            .leftAlong = !product.transposeLeft,
            .rightAlong = product.transposeRight,
            .mayBeDeep = !vk::isDisabled("deep_tiles")};
}

uint64_t givenParts(ProductKernel kernel, const MatrixProduct& product) {
    if (product.partInterior == 0 || kernel == ProductKernel::Direct) return 1;
    return std::max<uint64_t>(vk::divideUp(product.interior, product.partInterior), 1);
}

/// Whether half of the result is computed, and mirrored while its parts are added up. Where there
/// is one part, only what is slow is worth a pass of its own; and sums of bf16, which are not
/// symmetric to the bit, become so.
bool isMirrored(ProductKernel kernel, const MatrixProduct& product, uint64_t parts) {
    if (!product.symmetric || kernel == ProductKernel::Direct) return false;
    constexpr uint64_t tile = 64;
    return parts > 1 || kernel == ProductKernel::Bfloat16 ||
           (kernel == ProductKernel::Shared && product.result.rows() > tile);
}

uint64_t bytesOfParts(const MatrixProduct& product, uint64_t parts) {
    return parts * product.matrices * rowsLike(product.result).view.matrixStride * sizeof(float);
}

} // namespace

ProductKernel productKernel(const vk::Device& device, bool reducesPrecision,
                            const MatrixProduct& product) {
    const auto isTiled = [&](uint32_t shares) {
        return hasTile(tileLimits(device), shapeOf(product, shares));
    };
    if (isCooperative(device, product) && isTiled(1)) return ProductKernel::Cooperative;
    const uint32_t shares = sharesOf(device, reducesPrecision, product);
    if (shares > 0 && isTiled(shares)) return ProductKernel::Bfloat16;
    return isCpuWith(device, "direct_tile") ? ProductKernel::Direct : ProductKernel::Shared;
}

uint64_t productScratchBytes(const vk::Device& device, bool reducesPrecision,
                             const MatrixProduct& product) {
    const auto kernel = productKernel(device, reducesPrecision, product);
    const uint64_t parts = givenParts(kernel, product);
    return parts > 1 || isMirrored(kernel, product, parts) ? bytesOfParts(product, parts) : 0;
}

void encodeProduct(Encoder& encoder, const MatrixProduct& product) {
    const MatrixOperand &left = product.left, &right = product.right, &result = product.result;
    const uint64_t matrices = product.matrices;
    if (matrices == 0) return;
    Parameters p{};
    p.left = left.view;
    p.right = right.view;
    p.result = result.view;
    p.bias = product.bias.view;
    auto& device = encoder.device();
    const ProductKernel kernel = productKernel(device, encoder.reducesPrecision(), product);
    p.interior = p.partInterior = uint32_t(product.interior);
    p.parts = uint32_t(givenParts(kernel, product));
    if (p.parts > 1) p.partInterior = uint32_t(product.partInterior);
    p.alpha = float(product.alpha);
    p.beta = float(product.beta);
    p.matrices = uint32_t(matrices);
    setNeuron(p, product.neuron);
    const vk::Limits limits = tileLimits(device);
    const char* shader = "";
    Grid grid;
    std::vector<vk::Constant> ofTile;
    const bool isBfloat16 = kernel == ProductKernel::Bfloat16;
    const bool isTiled = isBfloat16 || kernel == ProductKernel::Cooperative;
    const bool canSplit = product.partInterior == 0;
    ProductShape shape =
        shapeOf(product, isBfloat16 ? sharesOf(device, encoder.reducesPrecision(), product) : 1);
    if (!canSplit) shape.parts = p.parts;
    const ProductPlan plan = isTiled ? planProduct(limits, shape) : ProductPlan();
    const auto setTile = [&](const ProductTile& tile) {
        splitIntoTiles(p, tile.rows(), tile.columns());
        grid = {uint64_t(p.tilesDown) * p.tilesAcross * tile.invocations(encoder.limits()), 1,
                matrices * p.parts};
        ofTile = tile.constants(device);
    };
    if (isTiled) {
        if (canSplit) splitIntoParts(p, plan.parts, plan.tile.depth);
        shader = isBfloat16 ? "MatrixMultiplicationBfloat16" : "MatrixMultiplicationCooperative";
    } else if (kernel == ProductKernel::Shared) {
        const PlainTile tile = sharedTile(limits, p, canSplit);
        splitIntoTiles(p, tile.rows, tile.columns);
        const uint64_t groups = tileCount(p, tile.rows, tile.columns);
        if (canSplit) splitIntoParts(p, partsFor(p, groups, groupsFor(limits, 1)), 16);
        shader = tile.shader;
        grid = {uint64_t(p.tilesDown) * p.tilesAcross * tile.invocations, 1, matrices * p.parts};
    } else {
        const PlainTile tile = directTile(device);
        splitIntoTiles(p, tile.rows, tile.columns);
        shader = tile.shader;
        grid = Grid::of(tileCount(p, tile.rows, tile.columns) * tile.invocations);
    }
    // See WHOLE in glsl/MatrixMultiplication.glsl. Results and parts have aligned rows of their
    // own.
    const bool whole = isInFours(left.view) && isInFours(right.view) && isInFours(result.view) &&
                       result.rows() % 4 == 0 && p.interior % 16 == 0;
    const bool mirrored = isMirrored(kernel, product, p.parts);
    const bool symmetric = mirrored || (product.symmetric && kernel == ProductKernel::Direct);
    const auto constantsFor = [&](const MatrixOperand& from, const MatrixOperand& to,
                                  bool hasBias) {
        std::vector<vk::Constant> constants = {constant(4, product.bias.typeConstant()),
                                               constant(32, uint32_t(product.transposeLeft)),
                                               constant(33, uint32_t(product.transposeRight)),
                                               constant(35, uint32_t(hasBias)),
                                               constant(36, uint32_t(product.neuron.neuronType())),
                                               constant(37, uint32_t(whole)),
                                               constant(38, uint32_t(symmetric))};
        // Images bring their own.
        const MatrixOperand* operands[] = {&from, &right, &to};
        for (uint32_t i = 0; i < 3; ++i)
            if (!operands[i]->images)
                constants.push_back(constant(i + 1, operands[i]->typeConstant()));
        constants.insert(constants.end(), ofTile.begin(), ofTile.end());
        return constants;
    };
    const bool hasBias = bool(product.bias.slice);
    const bool isOne =
        p.parts == 1 && !mirrored && product.neuron.neuronType() == MPS::CNNNeuronType::None;
    MatrixOperand sums = isOne ? result : rowsLike(result);
    std::shared_ptr<const vk::BufferSlice> memory;
    if (!isOne) {
        memory = encoder.scratch(bytesOfParts(product, p.parts));
        sums.slice = *memory;
    }
    const Operand operands[] = {left.bound(1),
                                right.bound(2),
                                sums.bound(3),
                                {4, isOne && hasBias ? product.bias.slice : vk::BufferSlice{}}};
    const auto sumsOf = [&]() -> TileDispatch {
        Parameters part = p;
        if (!isOne) {
            part.result = sums.view;
            part.alpha = 1;
            part.beta = 0;
        }
        const auto bytes = std::as_bytes(std::span(&part, 1));
        std::vector<vk::Constant> constants = constantsFor(left, sums, isOne && hasBias);
        const bool storesProducts = kernel == ProductKernel::Cooperative && isOne && !hasBias &&
                                    p.beta == 0 && result.isInEights();
        constants.push_back(constant(51, uint32_t(storesProducts)));
        return {shader, grid, {bytes.begin(), bytes.end()}, std::move(constants)};
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
    const Operand all[] = {sums.bound(1),
                           right.bound(2),
                           result.bound(3),
                           {4, hasBias ? product.bias.slice : vk::BufferSlice{}}};
    if (mirrored) {
        shader = "MatrixMultiplicationMirror";
        // Blocks of 32 x 32 elements, an invocation for 4 x 4.
        grid = Grid::of(vk::divideUp(result.rows(), 32) * vk::divideUp(result.columns(), 32) * 64 *
                        matrices);
    } else {
        shader = "MatrixMultiplicationParts";
        grid = Grid::of(sums.view.rowStride / 4 * result.rows() * matrices);
    }
    encoder.dispatchBytes(shader, std::as_bytes(std::span(&p, 1)), grid, all,
                          constantsFor(sums, result, hasBias), {});
}

} // namespace mpsvk::mps
