#include "mps/CNNBinaryConvolution.hpp"
#include "mps/Names.hpp"

#include <mpsvk/Error.hpp>

#include <cmath>
#include <cstring>

namespace mpsvk::mps {

using MPS::CNNBinaryConvolutionFlags;
using MPS::CNNBinaryConvolutionType;

namespace {

void checkRequest(const std::string& who, const BinaryConvolutionData::Request& r,
                  const MPS::CNNConvolutionDescriptor& d) {
    if (d.groups() != 1 || d.channelMultiplier() != 0 || d.subPixelScaleFactor() != 1)
        throw InvalidArgument(who + "The descriptor has groups, is depthwise or has a sub-pixel "
                                    "scale, but a binary convolution has none of these.");
    if (r.type > CNNBinaryConvolutionType::AND)
        throw InvalidArgument(who + "The type is " + std::to_string(uint64_t(r.type)) +
                              " but types go from 0 to 2.");
    if (r.flags > CNNBinaryConvolutionFlags::UseBetaScaling)
        throw InvalidArgument(who + "The flags are " + std::to_string(uint64_t(r.flags)) +
                              " but only UseBetaScaling, 1, is known.");
    const auto& neuron = d.fusedNeuronDescriptor();
    if (neuron.neuronType() == MPS::CNNNeuronType::PReLU &&
        neuron.data().size() != d.outputFeatureChannels())
        throw InvalidArgument(who + "The fused PReLU has " + std::to_string(neuron.data().size()) +
                              " slopes but there are " + std::to_string(d.outputFeatureChannels()) +
                              " output feature channels.");
}

/// `terms` or as many times `otherwise`, filled up with zeros to whole texels.
std::vector<float> filled(const std::string& who, const char* name, const std::vector<float>& terms,
                          uint64_t channels, float otherwise) {
    if (!terms.empty() && terms.size() != channels)
        throw InvalidArgument(who + "There are " + std::to_string(terms.size()) + " " + name +
                              " but " + std::to_string(channels) + " feature channels.");
    std::vector<float> all = terms;
    if (all.empty()) all.assign(channels, otherwise);
    all.resize(vk::roundUp(channels, 4), 0.f);
    return all;
}

void append(std::vector<float>& all, const std::vector<float>& more) {
    all.insert(all.end(), more.begin(), more.end());
}

template <class T> MTL::Buffer bufferOf(const MTL::Device& device, const std::vector<T>& values) {
    return device.newBuffer(std::as_bytes(std::span(values)));
}

} // namespace

BinaryConvolutionData::BinaryConvolutionData(const MTL::Device& device,
                                             const std::string& className, Request given)
    : request(std::move(given)), descriptor(descriptorOf(className.c_str(), request.source)),
      label(request.source->label()) {
    const std::string who = "[" + className + "] ";
    checkedDescriptor(who, descriptor);
    checkRequest(who, request, descriptor);
    const uint64_t inputs = descriptor.inputFeatureChannels(),
                   outputs = descriptor.outputFeatureChannels(),
                   taps = descriptor.kernelWidth() * descriptor.kernelHeight();
    words = vk::divideUp(inputs, 32);

    BinaryConvolutionTerms terms;
    const uint64_t count = outputs * taps * words;
    {
        const LoadedSource loaded(who, *request.source);
        const auto bytes = request.source->weights();
        if (request.source->dataType() != MPS::DataType::UInt32)
            throw InvalidArgument(who + "The data source's dataType is " +
                                  nameOf(request.source->dataType()) + " but must be UInt32.");
        if (bytes.size() != count * sizeof(uint32_t))
            throw InvalidArgument(who + "The data source has " + std::to_string(bytes.size()) +
                                  " bytes of weights but its descriptor asks for " +
                                  std::to_string(count * sizeof(uint32_t)) + ".");
        bits.resize(count);
        std::memcpy(bits.data(), bytes.data(), bytes.size());
        if (request.terms) {
            terms = *request.terms;
        } else {
            const auto given = request.source->biasTerms();
            biases.assign(given.begin(), given.end());
            terms.outputBias = biases;
            terms.outputScale.assign(outputs, request.scaleValue);
        }
    }

    const uint64_t slices = slicesFor(outputs);
    const uint32_t lastBits = inputs % 32 == 0 ? ~0u : (1u << inputs % 32) - 1;
    std::vector<uint32_t> packed(slices * taps * words * 4, 0);
    for (uint64_t o = 0; o < outputs; ++o)
        for (uint64_t tap = 0; tap < taps; ++tap)
            for (uint64_t word = 0; word < words; ++word) {
                const uint32_t word32 = bits[(o * taps + tap) * words + word];
                packed[((o / 4 * taps + tap) * words + word) * 4 + o % 4] =
                    word + 1 == words ? word32 & lastBits : word32;
            }

    const auto inputBias = filled(who, "input bias terms", terms.inputBias, inputs, 0);
    auto all = inputBias;
    const auto inputScale = filled(who, "input scale terms", terms.inputScale, inputs, 1);
    append(all, inputScale);
    std::vector<uint32_t> outsideBits(words, 0);
    for (uint64_t c = 0; c < inputs; ++c) {
        const float u = inputBias[c] * inputScale[c];
        outsideMagnitude += std::abs(u);
        if (!(u < 0)) outsideBits[c / 32] |= 1u << c % 32;
    }

    auto bias = filled(who, "output bias terms", terms.outputBias, outputs, 0),
         scale = filled(who, "output scale terms", terms.outputScale, outputs, 1);
    if (const auto& bn = descriptor.batchNormalizationForInference())
        for (uint64_t o = 0; o < outputs; ++o) {
            const float factor = bn->gamma[o] / std::sqrt(bn->variance[o] + bn->epsilon);
            scale[o] *= factor;
            bias[o] = (bias[o] - bn->mean[o]) * factor + bn->beta[o];
        }
    append(scale, bias);
    append(scale, filled(who, "slopes", descriptor.fusedNeuronDescriptor().data(), outputs, 0));

    weights = bufferOf(device, packed);
    this->inputs = bufferOf(device, all);
    channels = bufferOf(device, scale);
    outside = bufferOf(device, outsideBits);
}

BinaryConvolutionData::Request BinaryConvolutionData::archivable() const {
    Request made = request;
    if (!std::dynamic_pointer_cast<MPS::SecureCoding>(made.source))
        made.source = std::make_shared<ConstantBits>(*this);
    return made;
}

void BinaryConvolutionData::Request::archive(Archive& archive) {
    archive.object("dataSource", source, "The data source");
    archive("type", type);
    archive("flags", flags);
    archive("scaleValue", scaleValue);
    bool hasTerms = terms.has_value();
    archive("hasTerms", hasTerms);
    if (!hasTerms) return;
    if (archive.isReading()) terms.emplace();
    archive("terms", *terms);
}

std::shared_ptr<const BinaryConvolutionData> unarchivedBinaryData(const MTL::Device& device,
                                                                  const char* className,
                                                                  MPS::KeyedUnarchiver& coder) {
    BinaryConvolutionData::Request request;
    Archive archive(coder);
    request.archive(archive);
    return std::make_shared<BinaryConvolutionData>(device, className, std::move(request));
}

ConstantBits::ConstantBits(MPS::KeyedUnarchiver& coder) : descriptor_(1, 1, 1, 1) {
    Archive archive(coder);
    this->archive(archive);
}

void ConstantBits::encode(MPS::KeyedArchiver& coder) const {
    Archive archive(coder);
    const_cast<ConstantBits*>(this)->archive(archive);
}

void ConstantBits::archive(Archive& archive) {
    archive("descriptor", descriptor_);
    archive("weights", bits_);
    archive("biases", biases_);
    archive("label", label_);
}

void BinaryConvolutionTerms::archive(Archive& archive) {
    archive("outputBias", outputBias);
    archive("outputScale", outputScale);
    archive("inputBias", inputBias);
    archive("inputScale", inputScale);
}

} // namespace mpsvk::mps
