// A U-Net (Ronneberger et al., 2015) that finds out which shape each pixel of a drawing belongs to:
// strided convolutions down, transposed convolutions up, each of which gives back the size that its
// convolution's gradient state remembers, and concatenations across.
#include <algorithm>
#include <array>

#include <mpsvk/mpsvk.hpp>

#include "support/Program.hpp"
#include "support/Shapes.hpp"

using namespace mpsvk;

namespace {

constexpr uint32_t classes = 1 + examples::shapeKinds; ///< the ground, and the kinds of shapes
constexpr uint64_t testSet = 1; ///< added to the seed: drawings that training never sees
constexpr train::Colour classColours[classes] = {
    {33, 37, 41}, {214, 93, 14}, {31, 119, 180}, {25, 135, 84}};

class UNet {
public:
    UNet(examples::Layers& layers, uint32_t levels, uint64_t width)
        : layers_(layers), levels_(levels), width_(width) {}

    /// One logit per class and pixel.
    MPS::NNImageNode logits(const MPS::NNImageNode& input) const {
        const MPS::NNImageNode features = level(0, input, 3);
        return MPS::CNNConvolutionNode(features,
                                       layers_.convolution("output", {1, 1, width_, classes}))
            .resultImage();
    }

private:
    /// Two convolutions; then, unless this is the lowest level, all levels below at half the size,
    /// their result beside this level's own, and two more convolutions.
    MPS::NNImageNode level(uint32_t depth, const MPS::NNImageNode& source, uint64_t inputs) const {
        const std::string name = "level " + std::to_string(depth);
        const uint64_t channels = width_ << depth;
        const MPS::NNImageNode own = twice(name + " down", source, inputs, channels);
        if (depth == levels_) return own;
        const MPS::CNNConvolutionNode half(
            own, layers_.convolution(name + " half", strided(channels, channels)));
        const MPS::NNImageNode below = level(depth + 1, half.resultImage(), channels);
        const MPS::CNNConvolutionTransposeNode back(
            below, half.convolutionGradientState(),
            layers_.convolution(name + " back", strided(2 * channels, channels)));
        const MPS::NNConcatenationNode both({own, back.resultImage()});
        return twice(name + " up", both.resultImage(), 2 * channels, channels);
    }

    MPS::NNImageNode twice(const std::string& name, const MPS::NNImageNode& source, uint64_t inputs,
                           uint64_t channels) const {
        const MPS::NNImageNode first = normalized(name + " first", source, inputs, channels);
        return normalized(name + " second", first, channels, channels);
    }

    MPS::NNImageNode normalized(const std::string& name, const MPS::NNImageNode& source,
                                uint64_t inputs, uint64_t channels) const {
        const MPS::CNNConvolutionNode convolution(
            source, layers_.convolution(name, {3, 3, inputs, channels}));
        const MPS::CNNBatchNormalizationNode normalization(
            convolution.resultImage(), layers_.batchNormalization(name, channels));
        return MPS::CNNNeuronReLUNode(normalization.resultImage()).resultImage();
    }

    static MPS::CNNConvolutionDescriptor strided(uint64_t inputs, uint64_t outputs) {
        MPS::CNNConvolutionDescriptor descriptor(3, 3, inputs, outputs);
        descriptor.setStrideInPixelsX(2);
        descriptor.setStrideInPixelsY(2);
        return descriptor;
    }

    examples::Layers& layers_;
    uint32_t levels_;
    uint64_t width_;
};

examples::Picture pictureOf(const std::vector<uint8_t>& mask, uint32_t size) {
    examples::Picture picture(size, size);
    for (size_t i = 0; i < mask.size(); ++i) {
        const train::Colour colour = classColours[mask[i]];
        picture.values[3 * i] = static_cast<float>(colour.red) / 255;
        picture.values[3 * i + 1] = static_cast<float>(colour.green) / 255;
        picture.values[3 * i + 2] = static_cast<float>(colour.blue) / 255;
    }
    return picture;
}

class Segmenter {
public:
    Segmenter(examples::Session& session, uint32_t levels, uint32_t width) : session_(session) {
        const examples::Settings& settings = session.settings();
        const UNet network(session.layers(), levels, width);
        const uint32_t size = settings.size;
        MPS::CNNLossDescriptor descriptor(MPS::CNNLossType::SoftMaxCrossEntropy,
                                          MPS::CNNReductionType::Sum);
        descriptor.setWeight(1.0f / static_cast<float>(settings.batch * size * size));
        const MPS::CNNLossNode loss(network.logits(MPS::NNImageNode()), descriptor);
        const auto ends = loss.trainingGraph(std::nullopt, examples::gradientsInFloat32());
        training_ = MPS::NNGraph(session.device(), ends.at(0).resultImage(), false);
        training_.setFormat(session.format());
        inference_ = MPS::NNGraph(session.device(), network.logits(MPS::NNImageNode()), true);
        inference_.setFormat(session.format());

        const MPS::ImageDescriptor picture(session.format(), size, size, 3);
        for (Operands& operands : operands_) {
            operands.images = MPS::Image::batch(session.device(), picture, settings.batch);
            operands.labels =
                examples::makeLabels(session.device(), settings.batch, {size, size, classes});
        }
    }

    examples::Step submit(uint32_t step) {
        const Operands& operands = operands_[step % 2];
        const size_t batch = operands.images.size();
        for (size_t i = 0; i < batch; ++i) {
            const auto drawing = draw(session_.settings().seed, step * batch + i);
            operands.images[i].write(drawing.picture.values);
            std::vector<float> oneHot(drawing.mask.size() * classes);
            for (size_t k = 0; k < drawing.mask.size(); ++k)
                oneHot[k * classes + drawing.mask[k]] = 1;
            operands.labels[i].as<MPS::CNNLossLabels>().labelsImage().write(oneHot);
        }
        const MTL::CommandBuffer commands = session_.queue().commandBuffer();
        training_.encodeBatch(commands, {operands.images}, {operands.labels});
        return {commands, [&operands] { return examples::sumOfLosses(operands.labels); }};
    }

    /// Saves a sheet of new drawings and what is seen in them; returns the percentage of pixels
    /// that are given to the right class.
    std::string segmentNewDrawings() {
        inference_.reloadFromDataSources();
        const MPS::ImageBatch images(operands_[0].images.begin(),
                                     operands_[0].images.begin() +
                                         std::min<long>(3, long(operands_[0].images.size())));
        std::vector<examples::Drawing> drawings;
        for (size_t i = 0; i < images.size(); ++i) {
            drawings.push_back(draw(session_.settings().seed + testSet, i));
            images[i].write(drawings[i].picture.values);
        }
        const MPS::ImageBatch logits = session_.infer(inference_, images);

        const uint32_t size = session_.settings().size;
        examples::Sheet sheet({"drawing", "truth", "found"}, images.size(), 160);
        size_t right = 0, pixels = 0;
        for (size_t i = 0; i < images.size(); ++i) {
            std::vector<float> values(size_t{size} * size * classes);
            logits[i].read(values);
            std::vector<uint8_t> found;
            for (size_t k = 0; k < values.size(); k += classes) {
                const auto of = std::span(values).subspan(k, classes);
                found.push_back(uint8_t(std::ranges::max_element(of) - of.begin()));
                right += found.back() == drawings[i].mask[k / classes] ? 1 : 0;
                ++pixels;
            }
            sheet.add(i, 0, drawings[i].picture);
            sheet.add(i, 1, pictureOf(drawings[i].mask, size));
            sheet.add(i, 2, pictureOf(found, size));
        }
        sheet.save(session_.file("masks"));
        return examples::percent(right, pixels);
    }

private:
    struct Operands {
        MPS::ImageBatch images;
        MPS::StateBatch labels;
    };

    examples::Drawing draw(uint64_t seed, uint64_t index) const {
        return examples::drawShapes(seed, index, session_.settings().size, 2, 0.3f, 0.6f);
    }

    examples::Session& session_;
    MPS::NNGraph training_, inference_;
    std::array<Operands, 2> operands_;
};

} // namespace

int main(int count, char** arguments) {
    examples::Program program(
        "UNet", "Trains a U-Net to mark discs, squares and triangles in drawings, pixel by pixel.",
        {.size = 45, .batch = 8, .steps = 120, .target = 0.45f, .update = {.learningRate = 4e-3f}});
    uint32_t levels = 2, width = 8;
    program.options().addNumber("levels", levels, 1, 8, "Halvings of the size");
    program.options().addNumber("width", width, 4, 1024,
                                "Channels of the first level, a multiple of 4; 64 in the paper");
    return program.run(count, arguments, [&](examples::Session& session) {
        if (width % 4 != 0)
            throw train::UsageError("--width " + std::to_string(width) +
                                    " is not a multiple of 4, as concatenated channels must be.");
        Segmenter segmenter(session, levels, width);
        session.train([&](uint32_t step) { return segmenter.submit(step); });
        session.say(segmenter.segmentNewDrawings() + " of the pixels of new drawings are right");
    });
}
