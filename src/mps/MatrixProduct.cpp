#include "mps/MatrixProduct.hpp"

#include "MatrixMultiplication.h"
#include "vk/Instance.hpp"

namespace mpsvk::mps {

namespace {

/// A CPU has no shared memory to win from.
bool isDirect(const vk::Device& device) {
    return device.properties().deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU &&
           !vk::isDisabled("direct_tile");
}

uint64_t ceilDivide(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

} // namespace

void encodeProduct(Encoder& encoder, const MatrixProduct& product) {
    const auto &left = product.left, &right = product.right, &result = product.result;
    const uint64_t rows = result.rows(), columns = result.columns();
    // Tiles of 128 x 128 elements, or of 64 x 64 where those leave the device without enough work.
    const auto tiles = [&](uint64_t tile) {
        return ceilDivide(rows, tile) * ceilDivide(columns, tile) * product.matrices;
    };
    const uint32_t side = tiles(128) >= 132 && !vk::isDisabled("large_tile") ? 8 : 4;
    glsl::MatrixMultiplicationParameters p{};
    p.left = left.view;
    p.right = right.view;
    p.result = result.view;
    p.interior = uint32_t(product.interior);
    p.alpha = float(product.alpha);
    p.beta = float(product.beta);
    p.matrices = uint32_t(product.matrices);
    p.tilesDown = uint32_t(ceilDivide(rows, 16 * side));
    p.tilesAcross = uint32_t(ceilDivide(columns, 16 * side));
    std::vector<vk::Constant> constants{
        constant(1, left.typeConstant()), constant(2, right.typeConstant()),
        constant(3, result.typeConstant()), constant(32, uint32_t(product.transposeLeft)),
        constant(33, uint32_t(product.transposeRight))};
    const auto bindings = {Operand(1, left.slice), Operand(2, right.slice),
                           Operand(3, result.slice)};
    const auto bytes = std::as_bytes(std::span(&p, 1));
    if (isDirect(encoder.device())) {
        const uint64_t blocks = ceilDivide(rows, 4) * ceilDivide(columns, 4);
        encoder.dispatchBytes("MatrixMultiplicationDirect", bytes, Grid::of(blocks * p.matrices),
                              bindings, constants, {});
    } else {
        constants.push_back(constant(34, side));
        encoder.dispatchBytes("MatrixMultiplication", bytes,
                              {uint64_t(p.tilesDown) * p.tilesAcross * 256, 1, p.matrices},
                              bindings, constants, {});
    }
}

} // namespace mpsvk::mps
