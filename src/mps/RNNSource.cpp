#include "mps/RNNSource.hpp"

#include "mps/ConvolutionWeights.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::mps {

namespace {

void check1x1(const std::string& who, const std::string& name, const RNNSource& source) {
    const auto& d = source.descriptor;
    if (d.kernelWidth() != 1 || d.kernelHeight() != 1)
        throw InvalidArgument(who + name + " has a kernel of " + std::to_string(d.kernelWidth()) +
                              "x" + std::to_string(d.kernelHeight()) +
                              " but the weights of a matrix layer are 1x1.");
}

} // namespace

std::string sourceName(const RNNShape& shape, uint32_t gate, RNNShape::Part part) {
    using Kind = RNNShape::Kind;
    static constexpr const char* lstm[] = {"inputGate", "forgetGate", "cellGate", "outputGate"};
    static constexpr const char* gru[] = {"inputGate", "recurrentGate", "outputGate"};
    const bool isInput = part == RNNShape::Input, isRecurrent = part == RNNShape::Recurrent;
    if (shape.kind == Kind::SingleGate) return isInput ? "inputWeights" : "recurrentWeights";
    const std::string name = shape.isLSTM() ? lstm[gate] : gru[gate];
    return name + (isInput          ? "InputWeights"
                   : isRecurrent    ? "RecurrentWeights"
                   : shape.isLSTM() ? "MemoryWeights"
                                    : "InputGateWeights");
}

RNNSource loadedSource(const std::string& who, const std::string& name,
                       MPS::CNNConvolutionDataSource& source) {
    const std::string about = who + "In " + name + ": ";
    const LoadedSource between(about, source);
    RNNSource loaded;
    loaded.descriptor = source.descriptor();
    const auto& d = loaded.descriptor;
    const auto refuse = [&](const char* what) {
        throw InvalidArgument(who + name + " has " + what +
                              " but the gates of a recurrent layer have none.");
    };
    if (d.strideInPixelsX() != 1 || d.strideInPixelsY() != 1) refuse("a stride other than 1");
    if (d.dilationRateX() != 1 || d.dilationRateY() != 1) refuse("a dilation other than 1");
    if (d.groups() != 1) refuse("groups");
    if (d.subPixelScaleFactor() != 1) refuse("a sub-pixel scale factor");
    if (d.batchNormalizationForInference()) refuse("a batch normalization");
    loaded.weights = decodedWeights(source, d, about);
    const auto biases = source.biasTerms();
    if (!biases.empty() && biases.size() != d.outputFeatureChannels())
        throw InvalidArgument(about + "the data source has " + std::to_string(biases.size()) +
                              " bias terms but " + std::to_string(d.outputFeatureChannels()) +
                              " output feature channels.");
    loaded.biases.assign(biases.begin(), biases.end());
    loaded.isFloat32 = source.kernelWeightsDataType() == MPS::DataType::Float32;
    return loaded;
}

void checkSourceChannels(const std::string& who, const std::string& name, const RNNSource& source,
                         uint64_t inputs, uint64_t outputs) {
    const auto& d = source.descriptor;
    if (d.channelMultiplier() == 0 && d.inputFeatureChannels() == inputs &&
        d.outputFeatureChannels() == outputs)
        return;
    throw InvalidArgument(who + name + " has " + std::to_string(d.inputFeatureChannels()) +
                          " input and " + std::to_string(d.outputFeatureChannels()) +
                          " output feature channels but the layer needs " + std::to_string(inputs) +
                          " and " + std::to_string(outputs) + ".");
}

std::vector<MPS::Matrix> loadedWeights(const std::string& who, const MTL::Device& device,
                                       RNNShape& shape, const MPS::RNNDescriptor& descriptor) {
    std::vector<float> values[RNNShape::PartCount];
    for (uint32_t part = 0; part < RNNShape::PartCount; ++part)
        values[part].resize(shape.partRows(RNNShape::Part(part)) *
                            shape.partColumns(RNNShape::Part(part)));
    const auto fill = [&](RNNShape::Part part, uint64_t row, uint64_t column,
                          const std::vector<float>& from, uint64_t columns) {
        const uint64_t stride = shape.partColumns(part);
        for (uint64_t i = 0; i < from.size(); ++i)
            values[part][(row + i / columns) * stride + column + i % columns] = from[i];
    };
    const uint64_t padded = shape.paddedOutputs();
    for (uint32_t gate = 0; gate < shape.gates(); ++gate) {
        for (const auto part : {RNNShape::Input, RNNShape::Recurrent, RNNShape::Memory}) {
            const auto source = RNNShape::source(descriptor, gate, part);
            if (!source) continue;
            const std::string name = sourceName(shape, gate, part);
            const RNNSource loaded = loadedSource(who, name, *source);
            if (loaded.isFloat32) shape.weightsType = MPS::DataType::Float32;
            check1x1(who, name, loaded);
            if (part == RNNShape::Input) {
                checkSourceChannels(who, name, loaded, shape.inputs, shape.outputs);
                shape.neurons[gate] = loaded.descriptor.fusedNeuronDescriptor();
                fill(RNNShape::Bias, 0, RNNShape::indexOf(shape.biasedGates, gate) * padded,
                     loaded.biases, shape.outputs);
                if (!shape.unitTransform)
                    fill(part, RNNShape::indexOf(shape.inputGates, gate) * padded, 0,
                         loaded.weights, shape.inputs);
                continue;
            }
            if (part == RNNShape::Memory && shape.diagonal && shape.isLSTM()) {
                if (loaded.weights.size() != shape.outputs)
                    throw InvalidArgument(
                        who + name + " has " + std::to_string(loaded.weights.size()) +
                        " weights but a diagonal has " + std::to_string(shape.outputs) + ".");
                fill(part, RNNShape::indexOf(shape.memoryGates, gate), 0, loaded.weights,
                     shape.outputs);
                continue;
            }
            checkSourceChannels(who, name, loaded, shape.outputs, shape.outputs);
            if (shape.isGRU() && gate == 2)
                fill(RNNShape::Memory, 0,
                     part == RNNShape::Memory ? (shape.mixes() - 1) * padded : 0, loaded.weights,
                     shape.outputs);
            else
                fill(part,
                     RNNShape::indexOf(part == RNNShape::Recurrent ? shape.recurrentGates
                                                                   : shape.memoryGates,
                                       gate) *
                         padded,
                     0, loaded.weights, shape.outputs);
        }
    }
    shape.checkNeurons(who);
    std::vector<MPS::Matrix> made;
    for (uint32_t i = 0; i < RNNShape::PartCount; ++i) {
        const auto part = RNNShape::Part(i);
        if (shape.partRows(part) == 0) continue;
        made.emplace_back(device, shape.partDescriptor(part, shape.weightsType));
        made.back().write(values[part]);
    }
    return made;
}

} // namespace mpsvk::mps
