#include <mpsvk/mpsvk.hpp>

#include <cstddef>
#include <cstdio>
#include <exception>

using namespace mpsvk;

// The name of a Vulkan function and of one of the library's dependencies: a program that links the
// static library may have its own.
extern "C" {
int vkCreateInstance = 1;
int vmaCreateAllocator = 2;
int volkInitialize = 3;
}

int main() try {
    if (vkCreateInstance + vmaCreateAllocator + volkInitialize != 6) return 1;
    MTL::Device device = MTL::CreateSystemDefaultDevice();
    MTL::Buffer buffer = device.newBuffer(64, MTL::ResourceOptions::StorageModeShared);
    std::printf("%s\n", device.name().c_str());
    return buffer.contents().size() == 64 ? 0 : 1;
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
