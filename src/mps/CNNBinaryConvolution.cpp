#include "mps/CNNBinaryConvolution.hpp"

#include "CNNBinaryConvolution.h"
#include "geometry.h"
#include "mps/NNReduce.hpp"
#include "mps/PassChecks.hpp"
#include "mtl/Buffer.hpp"

#include <mpsvk/Error.hpp>

namespace mpsvk::MPS {

using mps::BinaryConvolutionData;
using Source = std::shared_ptr<CNNConvolutionDataSource>;

namespace {

using Floats = std::span<const float>;

std::vector<float> vectorOf(Floats values) { return {values.begin(), values.end()}; }

std::shared_ptr<const BinaryConvolutionData> scaled(const MTL::Device& device,
                                                    const char* className, Source source,
                                                    float scale, CNNBinaryConvolutionType type,
                                                    CNNBinaryConvolutionFlags flags) {
    return std::make_shared<BinaryConvolutionData>(
        device, className,
        BinaryConvolutionData::Request{std::move(source), std::nullopt, scale, type, flags});
}

std::shared_ptr<const BinaryConvolutionData>
withTerms(const MTL::Device& device, const char* className, Source source, Floats outputBias,
          Floats outputScale, Floats inputBias, Floats inputScale, CNNBinaryConvolutionType type,
          CNNBinaryConvolutionFlags flags) {
    return std::make_shared<BinaryConvolutionData>(
        device, className,
        BinaryConvolutionData::Request{
            std::move(source),
            mps::BinaryConvolutionTerms{vectorOf(outputBias), vectorOf(outputScale),
                                        vectorOf(inputBias), vectorOf(inputScale)},
            1, type, flags});
}

} // namespace

CNNBinaryConvolution::CNNBinaryConvolution(const MTL::Device& device,
                                           std::shared_ptr<const BinaryConvolutionData> data,
                                           const char* className)
    : CNNKernel(device, className, mps::windowOf(data->descriptor)), data_(std::move(data)) {
    setLabel(data_->label);
}

CNNBinaryConvolution::CNNBinaryConvolution(const MTL::Device& device, Source source, float scale,
                                           CNNBinaryConvolutionType type,
                                           CNNBinaryConvolutionFlags flags)
    : CNNBinaryConvolution(
          device, scaled(device, "CNNBinaryConvolution", std::move(source), scale, type, flags),
          "CNNBinaryConvolution") {}

CNNBinaryConvolution::CNNBinaryConvolution(const MTL::Device& device, Source source,
                                           Floats outputBias, Floats outputScale, Floats inputBias,
                                           Floats inputScale, CNNBinaryConvolutionType type,
                                           CNNBinaryConvolutionFlags flags)
    : CNNBinaryConvolution(device,
                           withTerms(device, "CNNBinaryConvolution", std::move(source), outputBias,
                                     outputScale, inputBias, inputScale, type, flags),
                           "CNNBinaryConvolution") {}

CNNBinaryConvolution::CNNBinaryConvolution(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNBinaryConvolution(
          deviceFor(coder, device),
          mps::unarchivedBinaryData(deviceFor(coder, device), "CNNBinaryConvolution", coder),
          "CNNBinaryConvolution") {
    unarchive(coder);
}

void CNNBinaryConvolution::archive(mps::Archive& archive) {
    CNNKernel::archive(archive);
    if (!archive.isReading()) data_->archivable().archive(archive);
}

uint64_t CNNBinaryConvolution::inputFeatureChannels() const {
    return data_->descriptor.inputFeatureChannels();
}
uint64_t CNNBinaryConvolution::outputFeatureChannels() const {
    return data_->descriptor.outputFeatureChannels();
}

std::shared_ptr<const BinaryConvolutionData>
CNNBinaryConvolution::dataFor(const MTL::Device& device) const {
    auto request = data_->request;
    if (auto copy = request.source->copy(device)) request.source = std::move(copy);
    return std::make_shared<BinaryConvolutionData>(device ? device : this->device(), className(),
                                                   std::move(request));
}

CNNBinaryConvolution CNNBinaryConvolution::copy(const MTL::Device& device) const {
    CNNBinaryConvolution made(*this);
    made.data_ = dataFor(device);
    made.setDevice(device);
    return made;
}

void CNNBinaryConvolution::validate(const mps::UnaryPass& pass) const {
    mps::checkInputs(subject(), pass, sourceFeatureChannelOffset(), inputFeatureChannels());
    if (!isFullyConnected())
        mps::checkWindowReach(subject(), pass.offset, pass.window, pass.clip.width,
                              pass.clip.height);
}

void CNNBinaryConvolution::dispatch(const mps::UnaryPass& pass) const {
    const KernelWindow& w = pass.window;
    const auto start = [this](int64_t offset, uint64_t taps, uint64_t dilation) {
        return isFullyConnected()
                   ? 0
                   : glsl::windowStart(int(offset), glsl::dilatedExtent(int(taps), int(dilation)));
    };
    const NNNeuronDescriptor& neuron = data_->descriptor.fusedNeuronDescriptor();
    const glsl::CNNBinaryConvolutionParameters p{
        .source = pass.source.view(sourceFeatureChannelOffset(), inputFeatureChannels()),
        .destination = pass.destinationView,
        .clipX = int(pass.clip.x),
        .clipY = int(pass.clip.y),
        .clipWidth = uint32_t(pass.clip.width),
        .clipHeight = uint32_t(pass.clip.height),
        .startX = start(pass.offset.x, w.width, w.dilationX),
        .startY = start(pass.offset.y, w.height, w.dilationY),
        .strideX = int(w.strideX),
        .strideY = int(w.strideY),
        .kernelWidth = int(w.width),
        .kernelHeight = int(w.height),
        .dilationX = int(w.dilationX),
        .dilationY = int(w.dilationY),
        .clampEdges = pass.edgeMode == ImageEdgeMode::Clamp,
        .images = uint32_t(pass.imageCount),
        .words = uint32_t(data_->words),
        .betaFactor = float(1 / (double(inputFeatureChannels()) * double(w.width * w.height))),
        .outsideMagnitude = data_->outsideMagnitude,
        .neuronA = neuron.a(),
        .neuronB = neuron.b(),
        .neuronC = neuron.c(),
    };
    mps::Encoder& encoder = *pass.encoder;
    const bool beta = data_->scalesByBeta();
    const bool bits = data_->request.type != CNNBinaryConvolutionType::BinaryWeights;
    const auto betaConstant = mps::constant(33, uint32_t(beta)),
               neuronConstant = mps::constant(35, uint32_t(neuron.neuronType()));
    const uint64_t inputWords =
        data_->words * pass.source.width() * pass.source.height() * pass.imageCount;
    const uint64_t pixels = pass.clip.width * pass.clip.height * pass.imageCount;
    using Scratch = std::shared_ptr<const vk::BufferSlice>;
    const auto sliceOf = [](const Scratch& s) { return s ? *s : vk::BufferSlice{}; };
    const Scratch words = bits ? encoder.scratch(inputWords * 4) : nullptr;
    const Scratch magnitudes = beta ? encoder.scratch(inputWords * 4) : nullptr;
    const Scratch betas = beta ? encoder.scratch(pixels * 4) : nullptr;
    if (bits || beta)
        encoder.dispatch("CNNBinaryConvolutionInput", p, mps::Grid::of(inputWords),
                         {{1, pass.source},
                          {3, data_->inputs.impl().slice},
                          {4, sliceOf(words)},
                          {5, sliceOf(magnitudes)}},
                         {mps::constant(32, uint32_t(bits)), betaConstant});
    if (beta)
        encoder.dispatch("CNNBinaryConvolutionBeta", p, mps::Grid::of(pixels),
                         {{5, *magnitudes}, {6, *betas}});
    const mps::Grid grid =
        mps::Grid::of(vk::divideUp(pass.clip.width, glsl::binaryTilePixels) * pass.clip.height *
                      pass.imageCount * mps::slicesFor(outputFeatureChannels()));
    if (bits)
        encoder.dispatch(
            "CNNBinaryConvolution", p, grid,
            {{2, pass.destination},
             {4, *words},
             {6, sliceOf(betas)},
             {7, data_->channels.impl().slice},
             {8, data_->weights.impl().slice},
             {9, data_->outside.impl().slice}},
            {mps::constant(32, uint32_t(data_->request.type)), betaConstant, neuronConstant});
    else
        encoder.dispatch("CNNBinaryConvolutionWeights", p, grid,
                         {{1, pass.source},
                          {2, pass.destination},
                          {3, data_->inputs.impl().slice},
                          {6, sliceOf(betas)},
                          {7, data_->channels.impl().slice},
                          {8, data_->weights.impl().slice}},
                         {betaConstant, neuronConstant});
}

CNNBinaryFullyConnected::CNNBinaryFullyConnected(const MTL::Device& device,
                                                 std::shared_ptr<const BinaryConvolutionData> data)
    : CNNBinaryConvolution(device, std::move(data), "CNNBinaryFullyConnected") {
    setPadding(NNDefaultPadding::padding(NNPaddingMethod::SizeValidOnly));
}

CNNBinaryFullyConnected::CNNBinaryFullyConnected(const MTL::Device& device, Source source,
                                                 float scale, CNNBinaryConvolutionType type,
                                                 CNNBinaryConvolutionFlags flags)
    : CNNBinaryFullyConnected(device, scaled(device, "CNNBinaryFullyConnected", std::move(source),
                                             scale, type, flags)) {}

CNNBinaryFullyConnected::CNNBinaryFullyConnected(const MTL::Device& device, Source source,
                                                 Floats outputBias, Floats outputScale,
                                                 Floats inputBias, Floats inputScale,
                                                 CNNBinaryConvolutionType type,
                                                 CNNBinaryConvolutionFlags flags)
    : CNNBinaryFullyConnected(device, withTerms(device, "CNNBinaryFullyConnected",
                                                std::move(source), outputBias, outputScale,
                                                inputBias, inputScale, type, flags)) {}

CNNBinaryFullyConnected::CNNBinaryFullyConnected(KeyedUnarchiver& coder, const MTL::Device& device)
    : CNNBinaryFullyConnected(
          deviceFor(coder, device),
          mps::unarchivedBinaryData(deviceFor(coder, device), "CNNBinaryFullyConnected", coder)) {
    unarchive(coder);
}

CNNBinaryFullyConnected CNNBinaryFullyConnected::copy(const MTL::Device& device) const {
    CNNBinaryFullyConnected made(device ? device : this->device(), dataFor(device));
    static_cast<CNNKernel&>(made) = *this;
    made.setDevice(device);
    return made;
}

void CNNBinaryFullyConnected::validate(const mps::UnaryPass& pass) const {
    CNNBinaryConvolution::validate(pass);
    const Image& source = pass.sources[0];
    if (source.width() != kernelWidth() || source.height() != kernelHeight() ||
        strideInPixelsX() != 1 || strideInPixelsY() != 1 || dilationRateX() != 1 ||
        dilationRateY() != 1)
        throw InvalidArgument(
            subject() + "sourceImage is " + mps::sizeText(source.width(), source.height()) +
            " but a fully connected kernel of " + mps::sizeText(kernelWidth(), kernelHeight()) +
            " takes a source of its own size, with stride and dilation 1.");
    mps::checkResultHolds(subject(), pass.clip, {0, 0, 1, 1});
}

} // namespace mpsvk::MPS
