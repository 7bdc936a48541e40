#include "mps/CNNNeuron.hpp"

#include "CNNNeuron.h"
#include "mps/Archive.hpp"
#include "mps/Half.hpp"
#include "mps/Pass.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <cmath>

namespace mpsvk::MPS {

NNNeuronDescriptor NNNeuronDescriptor::cnnNeuronPReLUDescriptor(std::span<const float> data, bool) {
    NNNeuronDescriptor made(CNNNeuronType::PReLU);
    made.data_.assign(data.begin(), data.end());
    return made;
}

NNNeuronDescriptor::NNNeuronDescriptor(KeyedUnarchiver& coder, const MTL::Device&)
    : NNNeuronDescriptor(CNNNeuronType::None) {
    mps::Archive archive(coder);
    this->archive(archive);
}

void NNNeuronDescriptor::encode(KeyedArchiver& coder) const {
    mps::Archive archive(coder);
    NNNeuronDescriptor(*this).archive(archive);
}

void NNNeuronDescriptor::archive(mps::Archive& archive) {
    archive("neuronType", type_);
    archive("a", a_);
    archive("b", b_);
    archive("c", c_);
    archive("data", data_);
}

} // namespace mpsvk::MPS

namespace mpsvk::mps {

using MPS::CNNNeuronType;

MTL::Buffer slopesOf(const std::string& who, const MTL::Device& device,
                     const MPS::NNNeuronDescriptor& d) {
    if (d.neuronType() < CNNNeuronType::None || d.neuronType() >= CNNNeuronType::Count)
        throw InvalidArgument(who + "neuronType is " + std::to_string(int(d.neuronType())) +
                              " but types go from 0 to 15.");
    if (d.neuronType() != CNNNeuronType::PReLU) return {};
    if (d.data().empty())
        throw InvalidArgument(who + "PReLU needs its slopes in the descriptor's data.");
    return device.newBuffer(std::as_bytes(std::span(d.data())));
}

void checkSlopes(const std::string& who, const MPS::NNNeuronDescriptor& d, uint64_t channels) {
    if (d.neuronType() == CNNNeuronType::PReLU && d.data().size() < channels)
        throw InvalidArgument(who + "PReLU has " + std::to_string(d.data().size()) +
                              " slopes but " + std::to_string(channels) +
                              " feature channels are processed.");
}

vk::BufferSlice sliceOf(const MTL::Buffer& slopes) {
    return slopes ? slopes.impl().slice : vk::BufferSlice{};
}

bool isKnownFromResult(const MPS::NNNeuronDescriptor& d) {
    const auto keepsSign = [](float slope) { return slope >= 0 && !std::signbit(slope); };
    switch (d.neuronType()) {
    case CNNNeuronType::None:
    case CNNNeuronType::Linear: return true;
    case CNNNeuronType::ReLU: return keepsSign(d.a());
    case CNNNeuronType::PReLU: return std::ranges::all_of(d.data(), keepsSign);
    case CNNNeuronType::ReLUN: // what is cut off must still be so when it is rounded
        return keepsSign(d.a()) && d.b() >= 1 && fromHalf(toHalf(d.b())) == d.b();
    default: return false;
    }
}

} // namespace mpsvk::mps

namespace mpsvk::MPS {

CNNNeuron::CNNNeuron(const MTL::Device& device, const NNNeuronDescriptor& descriptor)
    : CNNKernel(device, "CNNNeuron"), descriptor_(descriptor),
      slopes_(mps::slopesOf("[CNNNeuron] ", device, descriptor)) {}

CNNNeuron::CNNNeuron(const CNNNeuron& other, const MTL::Device& device) : CNNNeuron(other) {
    setDevice(device);
    slopes_ = mps::slopesOf(subject(), this->device(), descriptor_);
}

CNNNeuron::CNNNeuron(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNNeuron(deviceFor(coder, device), NNNeuronDescriptor(CNNNeuronType::None)) {
    unarchive(coder);
}

void CNNNeuron::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    archive("descriptor", descriptor_);
    if (archive.isReading()) slopes_ = mps::slopesOf(subject(), device(), descriptor_);
}

void CNNNeuron::validate(const mps::UnaryPass& pass) const {
    mps::checkSlopes(subject(), descriptor_, pass.sourceChannels);
}

StateBatch CNNNeuron::makeResultStates(const mps::StateRequest& request) const {
    return mps::plainGradientStates(request);
}

void CNNNeuron::dispatch(const mps::UnaryPass& pass) const {
    const glsl::CNNNeuronParameters parameters{
        .source = pass.sourceView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .offsetX = int(pass.offset.x),
        .offsetY = int(pass.offset.y),
        .clampEdges = pass.edgeMode == ImageEdgeMode::Clamp,
        .a = a(),
        .b = b(),
        .c = c(),
    };
    pass.encoder->dispatch("CNNNeuron", parameters, pass.pairGrid(),
                           {{1, pass.source}, {2, pass.destination}, {3, mps::sliceOf(slopes_)}},
                           {mps::constant(32, uint32_t(neuronType()))});
}

CNNNeuronGradient::CNNNeuronGradient(const MTL::Device& device,
                                     const NNNeuronDescriptor& descriptor)
    : CNNGradientKernel(device, "CNNNeuronGradient"), descriptor_(descriptor),
      slopes_(mps::slopesOf("[CNNNeuronGradient] ", device, descriptor)) {}

CNNNeuronGradient::CNNNeuronGradient(const CNNNeuronGradient& other, const MTL::Device& device)
    : CNNNeuronGradient(other) {
    setDevice(device);
    slopes_ = mps::slopesOf(subject(), this->device(), descriptor_);
}

CNNNeuronGradient::CNNNeuronGradient(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNNeuronGradient(deviceFor(coder, device), NNNeuronDescriptor(CNNNeuronType::None)) {
    unarchive(coder);
}

void CNNNeuronGradient::archive(mps::Archive& archive) {
    CNNGradientKernel::archive(archive);
    archive("descriptor", descriptor_);
    if (archive.isReading()) slopes_ = mps::slopesOf(subject(), device(), descriptor_);
}

void CNNNeuronGradient::takeForwardRecord(const mps::ForwardRecord& r) { takePixelwiseRecord(r); }

void CNNNeuronGradient::validate(const mps::BinaryPass& pass) const {
    CNNGradientKernel::validate(pass);
    if (!addends_.empty() && addends_[0].featureChannels() != pass.primaryChannels)
        throw InvalidArgument(subject() + "Gradients of " + std::to_string(pass.primaryChannels) +
                              " and of " + std::to_string(addends_[0].featureChannels()) +
                              " feature channels cannot be added.");
    mps::checkGradientChannels(subject(), pass);
    mps::checkPixelwiseSizes(subject(), *this, pass);
    mps::checkSlopes(subject(), descriptor_, pass.secondaryChannels);
}

void CNNNeuronGradient::dispatch(const mps::BinaryPass& pass) const {
    const glsl::CNNNeuronGradientParameters parameters{
        .gradient = pass.primaryView,
        .source = pass.secondaryView,
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .gradientOffsetX = int(primaryOffset().x),
        .gradientOffsetY = int(primaryOffset().y),
        .sourceOffsetX = int(secondaryOffset().x),
        .sourceOffsetY = int(secondaryOffset().y),
        .a = a(),
        .b = b(),
        .c = c(),
    };
    const auto encode = [&](size_t first, size_t count, const mps::ImageRun& added) {
        auto p = parameters;
        p.added = added.view(0, pass.primaryChannels);
        p.gradient = mps::imagesFrom(p.gradient, first);
        p.source = mps::imagesFrom(p.source, first);
        p.destination = mps::imagesFrom(p.destination, first);
        const bool hasPairs = pass.texelsEach() == 2 && (!added || added.hasPairs(p.added));
        auto grid = mps::Grid::over(mps::slicesFor(pass.destinationChannels), pass.clip.width,
                                    pass.clip.height, count, hasPairs ? 2 : 1);
        grid.wholeTexels = pass.hasWholeTexels();
        pass.encoder->dispatch("CNNNeuronGradient", p, grid,
                               {{1, pass.primary},
                                {2, pass.secondary},
                                {3, pass.destination},
                                {4, mps::sliceOf(slopes_)},
                                {5, added}},
                               {mps::constant(32, uint32_t(neuronType())),
                                mps::constant(33, uint32_t(readsResult_)),
                                mps::constant(34, uint32_t(bool(added)))});
    };
    mps::forEachRun(pass.encoder->limits(), addends_, pass.firstImage, pass.imageCount, encode);
}

} // namespace mpsvk::MPS
