// ResNet-18 and ResNet-50 (He et al., 2015), trained on handwritten digits: residual
// additions, batch normalization in both of its modes, a global mean, steps with momentum and
// weight decay.
#include <array>

#include <mpsvk/mpsvk.hpp>

#include "support/Digits.hpp"

using namespace mpsvk;

namespace {

using examples::Digits;

/// The network up to its logits. Its layers are made, or found, by their names.
class ResNet {
public:
    ResNet(examples::Layers& layers, uint32_t depth, uint64_t width)
        : layers_(layers), bottleneck_(depth == 50), width_(width) {
        stages_ =
            depth == 50 ? std::array<uint32_t, 4>{3, 4, 6, 3} : std::array<uint32_t, 4>{2, 2, 2, 2};
    }

    MPS::NNImageNode logits(const MPS::NNImageNode& input) const {
        Features x = normalized("stem", {input, 1}, 7, width_, 2);
        x.image = relu(x.image);
        x.image = MPS::CNNPoolingMaxNode(x.image, 3, 2).resultImage();
        for (size_t stage = 0; stage < stages_.size(); ++stage) {
            for (uint32_t i = 0; i < stages_[stage]; ++i) {
                const std::string name =
                    "stage " + std::to_string(stage + 1) + " block " + std::to_string(i + 1);
                x = block(name, x, width_ << stage, stage > 0 && i == 0 ? 2 : 1);
            }
        }
        const MPS::NNReductionSpatialMeanNode mean(x.image);
        return MPS::CNNFullyConnectedNode(
                   mean.resultImage(),
                   layers_.convolution("output", {1, 1, x.channels, Digits::classes}))
            .resultImage();
    }

private:
    struct Features {
        MPS::NNImageNode image;
        uint64_t channels;
    };

    static MPS::NNImageNode relu(const MPS::NNImageNode& image) {
        return MPS::CNNNeuronReLUNode(image).resultImage();
    }

    Features normalized(const std::string& name, const Features& x, uint64_t kernel,
                        uint64_t channels, uint64_t stride, float gamma = 1) const {
        MPS::CNNConvolutionDescriptor descriptor(kernel, kernel, x.channels, channels);
        descriptor.setStrideInPixelsX(stride);
        descriptor.setStrideInPixelsY(stride);
        const MPS::CNNConvolutionNode convolution(x.image, layers_.convolution(name, descriptor));
        const MPS::CNNBatchNormalizationNode normalization(
            convolution.resultImage(), layers_.batchNormalization(name, channels, gamma));
        return {normalization.resultImage(), channels};
    }

    /// Two 3x3 convolutions, or 1x1, 3x3 and 1x1 to four times the channels; their result and the
    /// block's source, brought to the same shape, are added. With gamma 0 a block starts as the
    /// identity, which is easier to train (Goyal et al., 2017).
    Features block(const std::string& name, const Features& x, uint64_t channels,
                   uint64_t stride) const {
        const uint64_t outputs = bottleneck_ ? 4 * channels : channels;
        Features y = x;
        if (bottleneck_) {
            y = normalized(name + " narrow", y, 1, channels, 1);
            y = normalized(name + " middle", {relu(y.image), channels}, 3, channels, stride);
            y = normalized(name + " wide", {relu(y.image), channels}, 1, outputs, 1, 0);
        } else {
            y = normalized(name + " first", y, 3, channels, stride);
            y = normalized(name + " second", {relu(y.image), channels}, 3, channels, 1, 0);
        }
        const bool sameShape = stride == 1 && x.channels == outputs;
        const Features shortcut =
            sameShape ? x : normalized(name + " shortcut", x, 1, outputs, stride);
        const MPS::NNAdditionNode sum(y.image, shortcut.image);
        return {relu(sum.resultImage()), outputs};
    }

    examples::Layers& layers_;
    bool bottleneck_;
    uint64_t width_;
    std::array<uint32_t, 4> stages_;
};

class Classifier {
public:
    Classifier(examples::Session& session, Digits& digits, uint32_t depth, uint32_t width)
        : session_(session), digits_(digits) {
        const examples::Settings& settings = session.settings();
        const ResNet network(session.layers(), depth, width);
        MPS::CNNLossDescriptor descriptor(MPS::CNNLossType::SoftMaxCrossEntropy,
                                          MPS::CNNReductionType::Sum);
        descriptor.setWeight(1.0f / static_cast<float>(settings.batch));
        const MPS::CNNLossNode loss(network.logits(MPS::NNImageNode()), descriptor);
        const auto ends = loss.trainingGraph(std::nullopt, examples::gradientsInFloat32());
        training_ = MPS::NNGraph(session.device(), ends.at(0).resultImage(), false);
        training_.setFormat(session.format());
        inference_ = MPS::NNGraph(session.device(), network.logits(MPS::NNImageNode()), true);
        inference_.setFormat(session.format());

        const MPS::ImageDescriptor picture(session.format(), settings.size, settings.size, 1);
        for (Operands& operands : operands_) {
            operands.images = MPS::Image::batch(session.device(), picture, settings.batch);
            operands.labels =
                examples::makeLabels(session.device(), settings.batch, {1, 1, Digits::classes});
        }
    }

    examples::Step submit(uint32_t step) {
        const Operands& operands = operands_[step % 2];
        const auto samples = digits_.batchOf(step);
        for (size_t i = 0; i < samples.size(); ++i) {
            write(operands.images[i], digits_.training().image(samples[i]));
            std::array<float, Digits::classes> oneHot{};
            oneHot[digits_.training().labels[samples[i]]] = 1;
            operands.labels[i].as<MPS::CNNLossLabels>().labelsImage().write(oneHot);
        }
        const MTL::CommandBuffer commands = session_.queue().commandBuffer();
        training_.encodeBatch(commands, {operands.images}, {operands.labels});
        return {commands, [&operands] { return examples::sumOfLosses(operands.labels); }};
    }

    std::string accuracy() const {
        inference_.reloadFromDataSources();
        return digits_.accuracy(session_, inference_, operands_[0].images,
                                [this](const MPS::Image& image, std::span<const uint8_t> pixels) {
                                    write(image, pixels);
                                });
    }

private:
    struct Operands {
        MPS::ImageBatch images;
        MPS::StateBatch labels;
    };

    /// Enlarged, or made smaller, to the size of the network's input.
    void write(const MPS::Image& image, std::span<const uint8_t> pixels) const {
        const uint32_t size = session_.settings().size;
        std::vector<float> values;
        for (uint32_t y = 0; y < size; ++y) {
            for (uint32_t x = 0; x < size; ++x) {
                const uint32_t row = y * digits_.rows() / size;
                const uint32_t column = x * digits_.columns() / size;
                values.push_back(pixels[size_t{row} * digits_.columns() + column] / 255.0f);
            }
        }
        image.write(values);
    }

    examples::Session& session_;
    Digits& digits_;
    MPS::NNGraph training_, inference_;
    std::array<Operands, 2> operands_;
};

} // namespace

int main(int count, char** arguments) {
    examples::Program program(
        "ResNet", "Trains ResNet-18 or ResNet-50 on handwritten digits, enlarged to --size.",
        {.size = 32,
         .batch = 32,
         .steps = 60,
         .target = 0.6f,
         .update = {.rule = train::UpdateRule::StochasticGradientDescent,
                    .learningRate = 0.01f,
                    .weightDecay = 1e-4f}});
    uint32_t width = 16;
    std::string depth = "18";
    program.options().addChoice("depth", depth, {"18", "50"}, "Number of layers");
    program.options().addNumber("width", width, 4, 1024,
                                "Channels of the first stage; 64 in the paper");
    std::filesystem::path folder = Digits::defaultFolder();
    program.options().add("data", folder, "DIR", "Folder with IDX files, as MNIST has them",
                          folder.string());
    return program.run(count, arguments, [&](examples::Session& session) {
        Digits digits(folder, session.settings());
        Classifier classifier(session, digits, static_cast<uint32_t>(std::stoul(depth)), width);
        session.train([&](uint32_t step) { return classifier.submit(step); });
        session.say(classifier.accuracy());
    });
}
