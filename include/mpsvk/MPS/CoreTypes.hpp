// MPSCoreTypes: the small types that every kernel shares.
#pragma once

#include <mpsvk/MTL/Device.hpp>

#include <cstdint>
#include <vector>

namespace mpsvk::MPS {

/// Signed position in pixels; z is an image index. MPSOffset.
struct Offset {
    int64_t x = 0, y = 0, z = 0;
    friend bool operator==(const Offset&, const Offset&) = default;
};

/// A position in pixels. MPSOrigin.
struct Origin {
    double x = 0, y = 0, z = 0;
    friend bool operator==(const Origin&, const Origin&) = default;
};

/// A size in pixels. MPSSize.
struct Size {
    double width = 0, height = 0, depth = 0;
    friend bool operator==(const Size&, const Size&) = default;
};

/// A box of pixels. MPSRegion.
struct Region {
    Origin origin;
    Size size;
    friend bool operator==(const Region&, const Region&) = default;
};

/// What a resampling scales and moves by. MPSScaleTransform.
struct ScaleTransform {
    double scaleX = 1, scaleY = 1, translateX = 0, translateY = 0;
};

/// A pixel, and a channel of it. MPSImageCoordinate.
struct ImageCoordinate {
    uint64_t x = 0, y = 0, channel = 0;
    friend bool operator==(const ImageCoordinate&, const ImageCoordinate&) = default;
};

/// A box of pixels and channels. MPSImageRegion.
struct ImageRegion {
    ImageCoordinate offset, size;
};

/// A part of a dimension: `length` from `start` on. MPSDimensionSlice.
struct DimensionSlice {
    uint64_t start = 0, length = 0;
};

/// The whole destination, whatever its size. Always intersected, never compared.
inline constexpr MTL::Region RectNoClip{{0, 0, 0}, {UINT64_MAX, UINT64_MAX, UINT64_MAX}};

enum class KernelOptions : uint64_t {
    None = 0,
    SkipAPIValidation = 1 << 0, ///< kept for ported code: arguments are checked all the same
    /// Products of fp32 may be formed of bf16: each factor x is split into high = bf16(x) and low =
    /// bf16(x - high), and low * high + high * low + high * high is summed up in fp32. The relative
    /// error of a sum of some thousand products is about 5e-6, where fp32 has 4e-7; an infinite
    /// factor gives NaN. Of convolutions, also transposed ones and fully connected layers, of their
    /// gradients and of products of matrices and arrays, on devices with cooperative matrices of
    /// bf16 (VK_KHR_shader_bfloat16), but where Winograd's filtering is faster. Elsewhere, and for
    /// all else, it changes nothing.
    AllowReducedPrecision = 1 << 1,
    DisableInternalTiling = 1 << 2, ///< kept for ported code: nothing is tiled
    /// The commands of an encode form a debug group with the kernel's label as its name, or that of
    /// the class where there is none.
    InsertDebugGroups = 1 << 3,
    /// Each encode is told to the log callback, at LogLevel::Info; a graph tells how it is run when
    /// it is made ready for new inputs. Set at first where the environment has MPS_LOG_INFO.
    Verbose = 1 << 4,
};
constexpr KernelOptions operator|(KernelOptions a, KernelOptions b) {
    return KernelOptions(uint64_t(a) | uint64_t(b));
}
constexpr KernelOptions operator&(KernelOptions a, KernelOptions b) {
    return KernelOptions(uint64_t(a) & uint64_t(b));
}
constexpr KernelOptions operator~(KernelOptions a) { return KernelOptions(~uint64_t(a)); }

/// Flag bits and the width of an element in bits.
enum class DataType : uint32_t {
    Invalid = 0,
    Float32 = 0x10000020,
    Float16 = 0x10000010,
    BFloat16 = 0x90000010,
    Int8 = 0x20000008,
    Int16 = 0x20000010,
    Int32 = 0x20000020,
    Int64 = 0x20000040,
    UInt8 = 8,
    UInt16 = 16,
    UInt32 = 32,
    UInt64 = 64,
    Unorm8 = 0x40000008,
};
constexpr uint64_t bytesPerElement(DataType type) { return (uint32_t(type) & 0xffff) / 8; }

enum class ImageFeatureChannelFormat : uint64_t {
    None = 0,
    Unorm8 = 1,
    Unorm16 = 2,
    Float16 = 3,
    Float32 = 4
};

/// What a kernel reads outside its source: zero, the nearest pixel, or (pad kernels only) a
/// reflection or a constant.
enum class ImageEdgeMode : uint64_t {
    Zero = 0,
    Clamp = 1,
    Mirror = 2,
    MirrorWithEdge = 3,
    Constant = 4
};

/// The order of elements in host memory: [image][y][x][channel] or [image][channel][y][x].
enum class DataLayout : uint64_t {
    HeightxWidthxFeatureChannels = 0,
    FeatureChannelsxHeightxWidth = 1
};

enum class DeviceOptions : uint64_t { Default = 0, LowPower = 1, SkipRemovable = 2 };

/// True unless the handle is empty. MPSSupportsMTLDevice.
bool SupportsMTLDevice(const MTL::Device& device);
/// The first integrated GPU for LowPower, where there is one; else what CreateSystemDefaultDevice()
/// gives. SkipRemovable changes nothing, since Vulkan does not say what can be removed. An empty
/// handle when there is no device. MPSGetPreferredDevice.
MTL::Device GetPreferredDevice(DeviceOptions options);

} // namespace mpsvk::MPS
