#include "mps/MatrixRows.hpp"

#include "mps/DeviceTable.hpp"

#include <algorithm>
#include <bit>

namespace mpsvk::mps {

namespace {

enum ChunkOrder : uint32_t { Whole, Cut, Spread, Paired };

bool areInEights(std::initializer_list<const MatrixOperand*> operands) {
    return std::ranges::all_of(operands, [](const auto* o) { return o->isInEights(); });
}

ChunkOrder orderFor(std::initializer_list<const MatrixOperand*> operands, uint64_t kept) {
    const auto all = [&](auto has) { return std::ranges::all_of(operands, has); };
    if (kept > 1 && areInEights(operands)) return Paired;
    if (all([](const auto* o) { return o->view.isAligned && o->view.columns % 4 == 0; }))
        return Whole;
    const bool aligned = all([](const auto* o) { return o->view.isAligned != 0; });
    const bool single = all([](const auto* o) { return o->dataType == MPS::DataType::Float32; });
    return single && !aligned ? Spread : Cut;
}

} // namespace

MatrixRows::MatrixRows(Encoder& encoder, uint64_t matrices,
                       std::initializer_list<const MatrixOperand*> operands) {
    const glsl::MatrixView& any = (*operands.begin())->view;
    const uint64_t chunks = vk::roundUp(any.columns, 4) / 4;
    // One chunk an invocation in rows of up to 32 of them; four, as long as there are as many
    // invocations; then more. Of halves of one source eight, else bringing the lanes' sums together
    // takes longer than moving the row. A CPU has few registers, and the rest in its caches.
    const uint64_t each = operands.size() == 2 && areInEights(operands) ? 8 : 4;
    const uint64_t lanes =
        chunks <= 32 ? std::bit_ceil(chunks)
                     : std::clamp<uint64_t>(std::bit_ceil(vk::divideUp(chunks, each)), 32, 256);
    const bool cached = isCpuWith(encoder.device(), "cached_rows");
    const uint64_t kept =
        cached ? 1 : std::min<uint64_t>(std::bit_ceil(vk::divideUp(chunks, lanes)), 16);
    blocks = uint32_t(vk::divideUp(chunks, lanes * kept));
    grid = Grid::of(any.rows * matrices * lanes);
    for (uint32_t binding = 1; const MatrixOperand* operand : operands)
        constants.push_back(constant(binding++, operand->typeConstant()));
    constants.push_back(constant(32, uint32_t(std::countr_zero(lanes))));
    constants.push_back(constant(33, uint32_t(kept)));
    constants.push_back(constant(34, uint32_t(orderFor(operands, kept))));
}

} // namespace mpsvk::mps
