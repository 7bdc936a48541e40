// The device that every test runs on, and a queue of it.
#pragma once

#include <mpsvk/mpsvk.hpp>

namespace mpsvk::test {

MTL::Device testDevice();
MTL::CommandQueue testQueue();

/// Encodes, commits, waits; throws what the command buffer reports.
template <class Encode> void run(Encode encode) {
    MTL::CommandBuffer commands = testQueue().commandBuffer();
    encode(commands);
    commands.commit();
    commands.waitUntilCompleted();
    if (commands.error()) throw DeviceError(commands.error().description);
}

} // namespace mpsvk::test
