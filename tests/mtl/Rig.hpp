// Command buffers on a queue of their own, and the affine kernel encoded as a user would.
#pragma once

#include "mtl/Device.hpp"
#include "support/Device.hpp"
#include "support/Kernels.hpp"
#include "support/Sentence.hpp"

#include <mpsvk/MTL/BlitCommandEncoder.hpp>
#include <mpsvk/MTL/CommandBuffer.hpp>
#include <mpsvk/MTL/ComputeCommandEncoder.hpp>

#include <vector>

namespace mpsvk::test {

inline MTL::ComputePipelineState pipelineOf(std::span<const uint32_t> code,
                                            const MTL::FunctionConstantValues& constants = {}) {
    const MTL::Device device = testDevice();
    return device.newComputePipelineState(device.newLibrary(code).newFunction("main", constants));
}

inline bool hasTextures() { return testDevice().impl().vk->features().textureStorage; }

inline MTL::Buffer bufferOf(const std::vector<float>& values) {
    return testDevice().newBuffer(std::as_bytes(std::span(values)));
}

inline std::vector<float> valuesOf(const MTL::Buffer& buffer) {
    const auto values = floats(buffer);
    return {values.begin(), values.end()};
}

/// destination = source * scale + offset
inline void affine(const MTL::CommandBuffer& commands, const MTL::Buffer& source,
                   const MTL::Buffer& destination, float scale, float offset) {
    static const MTL::ComputePipelineState pipeline = pipelineOf(affineKernel());
    const AffineParameters parameters{scale, offset,
                                      uint32_t(destination.length() / sizeof(float))};
    const auto encoder = commands.computeCommandEncoder();
    encoder.setComputePipelineState(pipeline);
    encoder.setBytes(bytesOf(parameters), 0);
    encoder.setBuffer(source, 0, 1);
    encoder.setBuffer(destination, 0, 2);
    encoder.dispatchThreads({parameters.count, 1, 1}, {64, 1, 1});
    encoder.endEncoding();
}

inline void finish(const MTL::CommandBuffer& commands) {
    commands.commit();
    commands.waitUntilCompleted();
    CHECK(commands.status() == MTL::CommandBufferStatus::Completed);
    CHECK(commands.error().description == "");
}

} // namespace mpsvk::test
