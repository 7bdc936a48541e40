// ResNet-18 and ResNet-50 (He et al., 2015), trained on handwritten digits: residual
// additions, batch normalization in both of its modes, a global mean, steps with momentum and
// weight decay.
#include <array>

#include <mpsvk/mpsvk.hpp>

#include "support/Digits.hpp"
#include "train/ResNet.hpp"

using namespace mpsvk;

namespace {

using examples::Digits;

/// What the layers are made by: graphs that name a layer again share it.
train::ResNetLayers namedLayers(examples::Session& session) {
    examples::Layers& layers = session.layers();
    return {[&layers](const std::string& name, const MPS::CNNConvolutionDescriptor& descriptor) {
                return layers.convolution(name, descriptor);
            },
            [&layers](const std::string& name, uint64_t channels, float gamma) {
                return layers.batchNormalization(name, channels, gamma);
            }};
}

class Classifier {
public:
    Classifier(examples::Session& session, Digits& digits, uint32_t depth, uint32_t width)
        : session_(session), digits_(digits) {
        const examples::Settings& settings = session.settings();
        const train::ResNet network(
            namedLayers(session),
            {.depth = depth, .width = width, .channels = 1, .classes = Digits::classes});
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
