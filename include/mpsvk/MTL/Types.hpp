// MTLTypes and the enumerations that resources share.
#pragma once

#include <cstdint>

namespace mpsvk::MTL {

/// A position in a texture, in texels. MTLOrigin.
struct Origin {
    uint64_t x = 0, y = 0, z = 0;
    friend bool operator==(const Origin&, const Origin&) = default;
};

/// A number of texels or invocations in each direction. MTLSize.
struct Size {
    uint64_t width = 0, height = 0, depth = 0;
    friend bool operator==(const Size&, const Size&) = default;
};

/// A box of texels. MTLRegion.
struct Region {
    Origin origin;
    Size size;
    friend bool operator==(const Region&, const Region&) = default;
};

/// So many bytes from a place on. NSRange.
struct Range {
    uint64_t location = 0, length = 0;
    friend bool operator==(const Range&, const Range&) = default;
};

/// Bytes that a resource takes in a heap. MTLSizeAndAlign.
struct SizeAndAlign {
    uint64_t size = 0, align = 0;
    friend bool operator==(const SizeAndAlign&, const SizeAndAlign&) = default;
};

inline Origin OriginMake(uint64_t x, uint64_t y, uint64_t z) { return {x, y, z}; }
inline Size SizeMake(uint64_t width, uint64_t height, uint64_t depth) {
    return {width, height, depth};
}
inline Region RegionMake1D(uint64_t x, uint64_t width) { return {{x, 0, 0}, {width, 1, 1}}; }
inline Region RegionMake2D(uint64_t x, uint64_t y, uint64_t width, uint64_t height) {
    return {{x, y, 0}, {width, height, 1}};
}
inline Region RegionMake3D(uint64_t x, uint64_t y, uint64_t z, uint64_t width, uint64_t height,
                           uint64_t depth) {
    return {{x, y, z}, {width, height, depth}};
}

enum class StorageMode : uint64_t { Shared = 0, Managed = 1, Private = 2, Memoryless = 3 };
enum class CPUCacheMode : uint64_t { DefaultCache = 0, WriteCombined = 1 };
enum class HazardTrackingMode : uint64_t { Default = 0, Untracked = 1, Tracked = 2 };
enum class ReadWriteTextureTier : uint64_t { None = 0, Tier1 = 1, Tier2 = 2 };
enum class PurgeableState : uint64_t { KeepCurrent = 1, NonVolatile = 2, Volatile = 3, Empty = 4 };

/// Cache mode (bits 0-3), storage mode (bits 4-7) and hazard tracking (bits 8-9) in one value.
enum class ResourceOptions : uint64_t {
    CPUCacheModeDefaultCache = 0,
    CPUCacheModeWriteCombined = 1,
    StorageModeShared = 0,
    StorageModeManaged = 0x10,
    StorageModePrivate = 0x20,
    StorageModeMemoryless = 0x30,
    HazardTrackingModeDefault = 0,
    HazardTrackingModeUntracked = 0x100,
    HazardTrackingModeTracked = 0x200,
};
constexpr ResourceOptions operator|(ResourceOptions a, ResourceOptions b) {
    return ResourceOptions(uint64_t(a) | uint64_t(b));
}
constexpr StorageMode storageModeOf(ResourceOptions options) {
    return StorageMode((uint64_t(options) >> 4) & 0xf);
}

enum class PixelFormat : uint64_t {
    Invalid = 0,
    R8Unorm = 10,
    R16Unorm = 20,
    R16Float = 25,
    RG8Unorm = 30,
    R32Float = 55,
    RG16Unorm = 60,
    RG16Float = 65,
    RGBA8Unorm = 70,
    BGRA8Unorm = 80,
    RG32Float = 105,
    RGBA16Unorm = 110,
    RGBA16Float = 115,
    RGBA32Float = 125,
};

enum class TextureType : uint64_t {
    Type1D = 0,
    Type1DArray = 1,
    Type2D = 2,
    Type2DArray = 3,
    Type2DMultisample = 4,
    TypeCube = 5,
    TypeCubeArray = 6,
    Type3D = 7,
};

enum class TextureUsage : uint64_t {
    Unknown = 0,
    ShaderRead = 1,
    ShaderWrite = 2,
    RenderTarget = 4,
    PixelFormatView = 0x10,
};
constexpr TextureUsage operator|(TextureUsage a, TextureUsage b) {
    return TextureUsage(uint64_t(a) | uint64_t(b));
}
constexpr TextureUsage operator&(TextureUsage a, TextureUsage b) {
    return TextureUsage(uint64_t(a) & uint64_t(b));
}

} // namespace mpsvk::MTL
