// A convolution kernel's own copy of its weights, packed as its shaders read them, and how the work
// is cut into tiles.
#pragma once

#include "CNNConvolution.h"
#include "mps/CNNConvolutionState.hpp"
#include "mps/KnownUpdates.hpp"

namespace mpsvk::mps {

using ConvolutionSource = std::shared_ptr<MPS::CNNConvolutionDataSource>;

/// Which of a shader's bodies runs, and the size of its tile (glsl/gemm.glsl).
struct ConvolutionTile {
    bool tiled = false, subgroup = false;
    bool grouped = false;     ///< of groups with few channels: see GroupedTile
    uint32_t texels = 4;      ///< of result channels
    uint32_t lanes = 8;       ///< invocations of a workgroup
    uint32_t tiledPixels = 8; ///< of an invocation of the body through shared memory
    /// Pixels of an invocation, for this many rows of the product.
    uint32_t pixels(uint64_t rows) const { return tiled ? tiledPixels : rows >= 256 ? 4 : 1; }
    /// Pixels of a workgroup.
    uint32_t block(uint64_t rows) const {
        return tiled ? lanes / ((texels + 1) / 2) * pixels(rows) : lanes * pixels(rows);
    }
};

/// A convolution as the shaders see it. A fully connected layer over whole texels is flat: a 1x1
/// convolution whose channels are all elements of the source.
struct ConvolutionShape {
    ConvolutionShape(const MPS::CNNConvolutionDescriptor& descriptor, bool flat);
    uint32_t inputs, outputs, groups, kernelWidth, kernelHeight;
    uint32_t subPixelScale = 1;
    bool depthwise = false, flat = false;
    uint32_t inputsPerGroup() const { return inputs / groups; }
    uint32_t outputsPerGroup() const { return outputs / groups; }
};

/// A data source between load and purge. Throws InvalidArgument when it does not load, and what a
/// purge throws unless something else is thrown already.
class LoadedSource {
public:
    LoadedSource(const std::string& who, MPS::CNNConvolutionDataSource& source);
    ~LoadedSource() noexcept(false);
    LoadedSource(const LoadedSource&) = delete;
    LoadedSource& operator=(const LoadedSource&) = delete;

private:
    MPS::CNNConvolutionDataSource& source_;
    const int exceptions_ = std::uncaught_exceptions();
};

class ConvolutionWeights {
public:
    enum class Use { Forward, DataGradient, TransposeForward, TransposeDataGradient };

    /// Loads the source; throws InvalidArgument, beginning with `who`.
    ConvolutionWeights(const MTL::Device& device, ConvolutionSource source,
                       const MPS::CNNConvolutionDescriptor& descriptor, Use use, bool flat,
                       const std::string& who);
    /// The same weights in buffers of their own.
    ConvolutionWeights(const ConvolutionWeights& other);

    /// To buffers of another device, and to the source's copy for it where it makes one.
    void moveTo(const MTL::Device& device);

    void loadFromSource(const std::string& who);
    /// What the source has now, in buffers of its own.
    std::shared_ptr<ConvolutionWeights> loadedAnew(const std::string& who) const;
    void load(Encoder& encoder, const vk::BufferSlice& weights, const vk::BufferSlice& biases);
    /// Changes with whatever decides which commands `load` records.
    uint64_t loadVersion() const { return loadVersion_; }
    /// Commands that `load` has recorded once are in this command buffer, too.
    void loadedAgain(const MTL::CommandBuffer& commands);
    /// The weights in use as fp32, in the data source's layout.
    void unpack(Encoder& encoder, const vk::BufferSlice& weights,
                const vk::BufferSlice& biases) const;

    const ConvolutionSource& source() const { return source_; }
    void setSource(ConvolutionSource source) { source_ = std::move(source); }
    const MTL::Device& device() const { return device_; }

    /// What is made from the packed weights when a kernel first reads it.
    struct Derived {
        bool current = false; ///< it is there for every command buffer
        uint64_t madeIn = 0;  ///< or for the one with this serial alone, whose commands make it
    };

    /// One way in which the weights are packed. Of the first one `floats` or `halves` is always
    /// current.
    struct Layout {
        ConvolutionShape shape;
        ConvolutionTile tile;
        uint32_t tiles = 1, tileSlices = 1, resultSlices = 1;
        uint32_t resultPerGroup = 1, reducedPerGroup = 1;
        /// Kernels read one copy or another; those that none has read yet are not kept up to date.
        struct Copy : Derived {
            vk::BufferSlice memory;
            bool used = false;
            explicit operator bool() const { return bool(memory); }
        };
        Copy floats;
        /// The same as halves for cooperative matrices, with `halfSlices` texels for each tap; none
        /// where the device has no such matrices or the tiles are too narrow for them.
        Copy halves;
        uint32_t halfSlices = 0;
        bool mergesTaps = false;  ///< a row of taps takes the place of a tap in `halves`
        bool thin = false;        ///< what is read has few channels: see ThinTile
        Copy grouped;             ///< the same for the kernels of few channels
        Copy winograd;            ///< transformed for WinogradProduct; made at its first use
        Copy winogradRows;        ///< the same for WinogradRows
        vk::BufferSlice channels; ///< biases, then slopes of PReLU
        Derived channelsMade;
        bool hasNoBiases = false; ///< the biases in `channels` are zeros, whatever is still to run
        glsl::CNNConvolutionPackParameters parameters{};
    };
    /// The flat layout where the kernel has one and `flat` allows it, else the one by taps (which
    /// is then made from the other).
    Layout& layout(Encoder& encoder, bool flat);
    /// A copy for a kernel to read.
    const vk::BufferSlice& use(Encoder& encoder, Layout& layout, Layout::Copy Layout::*copy) const;
    bool hasBias() const { return hasBias_; }
    bool keepsFloat32() const { return !roundToHalf_; }

    struct Values {
        std::vector<float> weights, biases; ///< no biases: empty
    };
    /// The weights in use, in the data source's layout. Waits for the GPU.
    Values values() const;
    /// The weights that another kernel of the same descriptor computes with. Waits for the GPU.
    void take(const ConvolutionWeights& other);
    /// For encodes whose commands were dropped: what they have derived is not there.
    void forgetDerived();

private:
    bool isTranspose() const {
        return use_ == Use::TransposeForward || use_ == Use::TransposeDataGradient;
    }
    bool isDataGradient() const {
        return use_ == Use::DataGradient || use_ == Use::TransposeDataGradient;
    }
    void packValues(const Values& values);
    Layout makeLayout(bool flat) const;
    void makeConstants();
    /// Writes the copies that are current.
    void pack(Encoder& encoder, Layout& layout, const vk::BufferSlice& weights,
              const vk::BufferSlice& biases, bool raw) const;
    /// Which copies stay current with other weights: those that kernels read, of all or of what is
    /// current.
    void choose(Layout& layout, bool all) const;
    void packAtOnce(const vk::BufferSlice& weights, const vk::BufferSlice& biases, bool raw);
    void packCopy(Encoder& encoder, const Layout& layout, Layout::Copy Layout::*copy,
                  const vk::BufferSlice& weights, bool raw) const;
    /// Makes what is not there for this encoder's command buffer.
    void derive(Encoder& encoder, Derived& derived,
                const std::function<void(Encoder&)>& make) const;
    void unpackWeights(Encoder& encoder, const vk::BufferSlice& weights) const;
    bool isLoading() const; ///< commands that load weights are perhaps still to run

    MTL::Device device_;
    ConvolutionSource source_;
    MPS::CNNConvolutionDescriptor descriptor_;
    Use use_;
    bool flat_;
    bool hasBias_ = false; ///< there have been biases; where there are none now they are zeros
    bool roundToHalf_ = true;
    mutable uint64_t loadVersion_ = newVersion();
    /// Command buffers that load weights and perhaps have not run.
    mutable std::vector<std::weak_ptr<MTL::CommandBuffer::Impl>> loading_;
    std::vector<Layout> layouts_;
    vk::BufferSlice scale_, shift_, slopes_;
};

/// The weights of a source that is loaded, as floats, [output][y][x][input of the group]. Throws
/// InvalidArgument, beginning with `who`.
std::vector<float> decodedWeights(const MPS::CNNConvolutionDataSource& source,
                                  const MPS::CNNConvolutionDescriptor& descriptor,
                                  const std::string& who);

/// The tile for one product: `results` channels in groups of `perGroup`, each of which sums over
/// `reducedPerGroup`.
ConvolutionTile chooseTile(const vk::Device& device, uint32_t groups, uint32_t perGroup,
                           uint32_t reducedPerGroup, uint32_t results, bool flat);
/// The most source texels that a tile of result channels reads.
uint32_t tileSlices(uint32_t tiles, uint32_t tileChannels, uint32_t results,
                    uint32_t resultPerGroup, uint32_t reducedPerGroup);

/// Records with `encode` and runs it at once, waiting for the GPU: behind what was committed before
/// (see MTL::Device::Impl::waitForSubmissions).
void runNow(const MTL::Device& device, const std::function<void(Encoder&)>& encode);

} // namespace mpsvk::mps
