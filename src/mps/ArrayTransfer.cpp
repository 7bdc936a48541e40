#include "mps/ArrayTransfer.hpp"

#include "mps/Half.hpp"

#include <mpsvk/Error.hpp>

#include <cmath>
#include <cstring>
#include <limits>

namespace mpsvk::mps {

using MPS::DataType;

uint64_t checkedElementBytes(const Subject& who, DataType type) {
    switch (type) {
    case DataType::Float32:
    case DataType::Float16:
    case DataType::BFloat16:
    case DataType::Int8:
    case DataType::Int16:
    case DataType::Int32:
    case DataType::Int64:
    case DataType::UInt8:
    case DataType::UInt16:
    case DataType::UInt32:
    case DataType::UInt64:
    case DataType::Unorm8: return MPS::bytesPerElement(type);
    default:
        throw InvalidArgument(who + "dataType is " + std::to_string(uint32_t(type)) +
                              " but that is none of the element types.");
    }
}

namespace {

uint16_t toBFloat16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if (std::isnan(value)) return uint16_t(bits >> 16 | 0x40);
    return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

template <class Integer> Integer toInteger(float value) {
    // The greatest value may not be a float: compare with the power of two above it.
    const float above = std::ldexp(1.f, std::numeric_limits<Integer>::digits);
    const float rounded = std::nearbyint(value);
    if (rounded >= above) return std::numeric_limits<Integer>::max();
    if (rounded <= float(std::numeric_limits<Integer>::min()))
        return std::numeric_limits<Integer>::min();
    return std::isnan(rounded) ? Integer(0) : Integer(rounded);
}

/// Calls `use(stored, toStored, toFloat)`: an element type and the conversions.
template <class Use> void withElements(DataType type, Use use) {
    const auto integer = [&]<class Integer>(Integer none) {
        use(none, toInteger<Integer>, [](Integer stored) { return float(stored); });
    };
    switch (type) {
    case DataType::Float16: return use(uint16_t(), toHalf, fromHalf);
    case DataType::BFloat16:
        return use(uint16_t(), toBFloat16,
                   [](uint16_t stored) { return std::bit_cast<float>(uint32_t(stored) << 16); });
    case DataType::Unorm8:
        return use(
            uint8_t(),
            [](float v) { return toInteger<uint8_t>(std::fmin(std::fmax(v, 0.f), 1.f) * 255); },
            [](uint8_t stored) { return float(stored) / 255.f; });
    case DataType::Int8: return integer(int8_t());
    case DataType::Int16: return integer(int16_t());
    case DataType::Int32: return integer(int32_t());
    case DataType::Int64: return integer(int64_t());
    case DataType::UInt8: return integer(uint8_t());
    case DataType::UInt16: return integer(uint16_t());
    case DataType::UInt32: return integer(uint32_t());
    case DataType::UInt64: return integer(uint64_t());
    default:
        return use(
            float(), [](float v) { return v; }, [](float v) { return v; });
    }
}

} // namespace

void writeFloats(const ArrayView& view, std::span<const float> values) {
    withElements(view.dataType, [&](auto stored, auto toStored, auto) {
        for (uint64_t row = 0; row < view.rows; ++row) {
            std::byte* to = view.slice.mapped() + row * view.rowBytes;
            const auto from = values.subspan(row * view.columns, view.columns);
            for (size_t j = 0; j < from.size(); ++j, to += sizeof(stored)) {
                stored = toStored(from[j]);
                std::memcpy(to, &stored, sizeof(stored));
            }
        }
    });
}

void readFloats(const ArrayView& view, std::span<float> values) {
    withElements(view.dataType, [&](auto stored, auto, auto toFloat) {
        for (uint64_t row = 0; row < view.rows; ++row) {
            const std::byte* from = view.slice.mapped() + row * view.rowBytes;
            for (float& value : values.subspan(row * view.columns, view.columns)) {
                std::memcpy(&stored, from, sizeof(stored));
                value = toFloat(stored);
                from += sizeof(stored);
            }
        }
    });
}

} // namespace mpsvk::mps
