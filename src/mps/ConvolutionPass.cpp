#include "mps/ConvolutionPass.hpp"

#include "mps/PassChecks.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::mps {

using MPS::CNNConvolutionDescriptor;
using MPS::CNNConvolutionWeightsAndBiasesState;
using MPS::KernelWindow;

CNNConvolutionDescriptor descriptorOf(const char* className, const ConvolutionSource& source) {
    const std::string who = "[" + std::string(className) + "] ";
    if (!source) throw InvalidArgument(who + "The data source is null.");
    if (!source->load()) throw InvalidArgument(who + "The data source's load returned false.");
    CNNConvolutionDescriptor d = source->descriptor();
    source->purge();
    return d;
}

const CNNConvolutionDescriptor& checkedDescriptor(const std::string& who,
                                                  const CNNConvolutionDescriptor& d) {
    const uint64_t inputs = d.inputFeatureChannels(), outputs = d.outputFeatureChannels(),
                   groups = d.groups();
    if (d.channelMultiplier() == 0 &&
        (groups == 0 || inputs % groups != 0 || outputs % groups != 0))
        throw InvalidArgument(who + "groups is " + std::to_string(groups) + " but must divide " +
                              std::to_string(inputs) + " input and " + std::to_string(outputs) +
                              " output feature channels.");
    if (d.channelMultiplier() != 0 && (groups != 1 || outputs % inputs != 0))
        throw InvalidArgument(
            who +
            "A depthwise convolution has 1 group and a multiple of its input channels as "
            "outputs, but there are " +
            std::to_string(groups) + " groups, " + std::to_string(inputs) + " inputs and " +
            std::to_string(outputs) + " outputs.");
    if (d.strideInPixelsX() == 0 || d.strideInPixelsY() == 0 || d.dilationRateX() == 0 ||
        d.dilationRateY() == 0)
        throw InvalidArgument(
            who + "The stride is " + sizeText(d.strideInPixelsX(), d.strideInPixelsY()) +
            " and the dilation " + sizeText(d.dilationRateX(), d.dilationRateY()) +
            ", but each must be at least 1.");
    const uint64_t blocks = d.subPixelScaleFactor() * d.subPixelScaleFactor();
    if (blocks == 0 || outputs % blocks != 0 ||
        (groups > 1 && outputs / blocks % 4 != 0 && blocks > 1))
        throw InvalidArgument(who + "subPixelScaleFactor is " +
                              std::to_string(d.subPixelScaleFactor()) +
                              " but its square must divide the " + std::to_string(outputs) +
                              " output feature channels.");
    return d;
}

KernelWindow windowOf(const CNNConvolutionDescriptor& d) {
    return {d.kernelWidth(),     d.kernelHeight(),  d.strideInPixelsX(),
            d.strideInPixelsY(), d.dilationRateX(), d.dilationRateY()};
}

bool hasWholeTexels(const CNNConvolutionDescriptor& d) { return d.inputFeatureChannels() % 4 == 0; }

namespace {

void checkState(const std::string& who, const CNNConvolutionDescriptor& d,
                const CNNConvolutionWeightsAndBiasesState& state,
                const MTL::CommandBuffer& commands) {
    if (!state) throw InvalidArgument(who + "The weights state is an empty handle.");
    auto& impl = state.impl();
    impl.checkUsable(who, "The weights state", commands);
    if (impl.weightsBytes < d.weightCount() * sizeof(float) ||
        (impl.hasBiases && impl.biasesBytes < d.outputFeatureChannels() * sizeof(float)))
        throw InvalidArgument(who + "The weights state holds " + std::to_string(impl.weightsBytes) +
                              " bytes of weights and " + std::to_string(impl.biasesBytes) +
                              " of biases but the kernel has " +
                              std::to_string(d.weightCount() * sizeof(float)) + " and " +
                              std::to_string(d.outputFeatureChannels() * sizeof(float)) + ".");
}

} // namespace

void reloadWeights(const std::string& who, const CNNConvolutionDescriptor& d,
                   ConvolutionWeights& weights, const MTL::CommandBuffer& commands,
                   const CNNConvolutionWeightsAndBiasesState& state) {
    checkState(who, d, state, commands);
    Encoder encoder(commands, who);
    weights.load(encoder, state.impl().weightsSlice(), state.impl().biasesSlice());
    state.impl().wasRead();
}

ConvolutionSource sourceFor(const ConvolutionSource& source, const MTL::Device& device) {
    auto copy = source->copy(device);
    return copy ? copy : source;
}

glsl::CNNConvolutionParameters commonParameters(const ConvolutionWeights::Layout& layout,
                                                const KernelWindow& w) {
    glsl::CNNConvolutionParameters p{};
    p.kernelWidth = layout.shape.kernelWidth;
    p.kernelHeight = layout.shape.kernelHeight;
    p.strideX = int(w.strideX);
    p.strideY = int(w.strideY);
    p.dilationX = int(w.dilationX);
    p.dilationY = int(w.dilationY);
    p.resultSlices = layout.resultSlices;
    p.tiles = layout.tiles;
    p.tileSlices = layout.tileSlices;
    p.resultPerGroup = layout.resultPerGroup;
    p.reducedPerGroup = layout.reducedPerGroup;
    p.multiplier = layout.shape.depthwise ? layout.shape.outputs / layout.shape.inputs : 1;
    p.subPixelScale = 1;
    return p;
}

glsl::ImageView flatView(const ImageRun& run, uint64_t channels) {
    glsl::ImageView v = run.view(0, channels);
    v.slices = v.slices * v.width * v.height;
    v.width = v.height = 1;
    return v;
}

bool canBeFlat(const ImageRun& run, uint64_t channelOffset, uint64_t channels) {
    return !run.isTexture() && channelOffset == 0 && run.featureChannels() == channels &&
           run.isDense();
}

void dispatchProduct(Encoder& encoder, const std::string& shader,
                     const ConvolutionWeights::Layout& layout,
                     const glsl::CNNConvolutionParameters& p, uint64_t rows, uint32_t phases,
                     const ImageRun& source, const ImageRun& destination, uint32_t neuron,
                     bool clampEdges) {
    const auto& tile = layout.tile;
    const uint64_t blocks = (rows + tile.block(rows) - 1) / tile.block(rows);
    const uint64_t most = encoder.limits().workGroupCount, y = (blocks + most - 1) / most;
    const Grid grid{(blocks + y - 1) / y * tile.lanes, y, uint64_t(layout.tiles) * phases};
    encoder.dispatch(tile.subgroup ? shader + "Subgroup" : shader, p, grid,
                     {{1, source}, {2, destination}, {3, layout.packed}, {4, layout.channels}},
                     {constant(32, tile.lanes), constant(33, tile.texels),
                      constant(34, tile.pixels(rows)), constant(35, neuron),
                      constant(36, uint32_t(tile.tiled)), constant(37, uint32_t(clampEdges))});
}

} // namespace mpsvk::mps
