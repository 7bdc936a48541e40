#include "mps/Archive.hpp"
#include "mps/MatrixRandom.hpp"
#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/MatrixRandom.hpp>

#include <algorithm>

namespace mpsvk::MPS {

namespace {

constexpr uint64_t stateWords = uint64_t(glsl::mtgpGenerators) * glsl::mtgpWords;

uint64_t splitMix(uint64_t& x) {
    uint64_t z = x += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/// SplitMix64's numbers from the seed on, low words first, generator after generator.
MTL::Buffer seededStates(const MTL::Device& device, uint64_t seed) {
    std::vector<uint64_t> pairs(stateWords / 2);
    std::ranges::generate(pairs, [&] { return splitMix(seed); });
    return device.newBuffer(std::as_bytes(std::span(pairs)));
}

} // namespace

MatrixRandomMTGP32::MatrixRandomMTGP32(
    const MTL::Device& device, DataType destinationDataType, uint64_t seed,
    const MatrixRandomDistributionDescriptor& distributionDescriptor)
    : MatrixRandom(device, "MatrixRandomMTGP32", destinationDataType, seed, distributionDescriptor),
      states_(seededStates(device, seed)) {}

MatrixRandomMTGP32::MatrixRandomMTGP32(const MatrixRandomMTGP32& other)
    : MatrixRandom(other), states_(other.device().newBuffer(other.stateBytes())) {}

MatrixRandomMTGP32& MatrixRandomMTGP32::operator=(const MatrixRandomMTGP32& other) {
    if (this != &other) *this = MatrixRandomMTGP32(other);
    return *this;
}

MatrixRandomMTGP32 MatrixRandomMTGP32::copy(const MTL::Device& device) const {
    MatrixRandomMTGP32 made(*this);
    made.setDevice(device);
    if (made.device() != this->device()) made.states_ = made.device().newBuffer(stateBytes());
    return made;
}

void MatrixRandomMTGP32::archive(mps::Archive& archive) {
    MatrixRandom::archive(archive);
    if (!archive.isReading() && !archive.isWriting()) return;
    const auto bytes = stateBytes();
    std::vector<std::byte> states(bytes.begin(), bytes.end());
    archive("states", states);
    if (states.size() != bytes.size())
        throw FormatError(subject() + "The archived states have " + std::to_string(states.size()) +
                          " bytes but must have " + std::to_string(bytes.size()) + ".");
    if (archive.isReading()) states_ = device().newBuffer(states);
}

std::span<const std::byte> MatrixRandomMTGP32::stateBytes() const {
    if (states_.impl().slice.buffer->hasPendingWrites())
        throw InvalidArgument(subject() + "The kernel was copied or archived while a command "
                                          "buffer that advances its state is not completed.");
    return states_.contents();
}

void MatrixRandomMTGP32::synchronizeState(const MTL::CommandBuffer& commandBuffer) const {
    mps::Encoder encoder(commandBuffer, subject());
    mps::checkDevice(subject(), device(), commandBuffer);
}

void MatrixRandomMTGP32::fill(mps::RandomFill& fill) {
    auto& p = fill.parameters;
    p.blocks = uint32_t(vk::divideUp(fill.elements(), glsl::mtgpBlock));
    const uint64_t groups = std::min(p.blocks, glsl::mtgpGenerators);
    fill.operands.encoder().dispatch("MatrixRandomMTGP32", p, {groups * 256, 1, 1},
                                     {{1, fill.destination}, {2, states_.impl().slice}},
                                     {mps::constant(32, fill.distribution)});
}

} // namespace mpsvk::MPS
