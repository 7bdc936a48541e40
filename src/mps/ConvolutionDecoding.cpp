// The weights of a convolution's data source as floats, whatever it keeps them as.
#include "mps/ConvolutionWeights.hpp"
#include "mps/Half.hpp"
#include "mps/Names.hpp"

#include <mpsvk/Error.hpp>

#include <cstring>

namespace mpsvk::mps {

std::vector<float> decodedWeights(const MPS::CNNConvolutionDataSource& source,
                                  const MPS::CNNConvolutionDescriptor& descriptor,
                                  const std::string& who) {
    const uint64_t count = descriptor.weightCount();
    const auto bytes = source.weights();
    const MPS::DataType type = source.dataType();
    if (type != MPS::DataType::Float32 && type != MPS::DataType::Float16 &&
        type != MPS::DataType::UInt8)
        throw InvalidArgument(who + "The data source's dataType is " + nameOf(type) +
                              " but must be Float32, Float16 or UInt8.");
    if (bytes.size() != count * MPS::bytesPerElement(type))
        throw InvalidArgument(who + "The data source has " + std::to_string(bytes.size()) +
                              " bytes of weights but its "
                              "descriptor asks for " +
                              std::to_string(count * MPS::bytesPerElement(type)) + ".");
    std::vector<float> values(count);
    if (type == MPS::DataType::Float32) {
        std::memcpy(values.data(), bytes.data(), bytes.size());
    } else if (type == MPS::DataType::Float16) {
        for (uint64_t i = 0; i < count; ++i) {
            uint16_t half;
            std::memcpy(&half, bytes.data() + 2 * i, 2);
            values[i] = fromHalf(half);
        }
    } else {
        const auto table = source.lookupTableForUInt8Kernel();
        const auto ranges = source.rangesForUInt8Kernel();
        const uint64_t outputs = descriptor.outputFeatureChannels(), perOutput = count / outputs;
        const bool useTable =
            source.weightsQuantizationType() == MPS::CNNWeightsQuantizationType::LookupTable;
        if (useTable ? table.size() != 256 : ranges.size() != 2 * outputs)
            throw InvalidArgument(
                who + "UInt8 weights need a lookup table of 256 entries (there are " +
                std::to_string(table.size()) + ") or ranges with " + std::to_string(2 * outputs) +
                " (there are " + std::to_string(ranges.size()) + ").");
        for (uint64_t i = 0; i < count; ++i) {
            const auto u8 = uint8_t(bytes[i]);
            const uint64_t o = i / perOutput;
            values[i] =
                useTable ? table[u8]
                         : float(u8) / 255.f * (ranges[2 * o + 1] - ranges[2 * o]) + ranges[2 * o];
        }
    }
    return values;
}

} // namespace mpsvk::mps
