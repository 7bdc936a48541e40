// Learns handwritten digits as Apple's sample "Training a Neural Network with Metal Performance
// Shaders" does: a training and an inference graph share their data sources, two steps are in
// flight, the loss comes in the labels, and the inference graph reloads before each evaluation.
#include <array>

#include <mpsvk/MPS/CommandBuffer.hpp>
#include <mpsvk/mpsvk.hpp>

#include "support/Digits.hpp"

using namespace mpsvk;

namespace {

using examples::Digits;

class Classifier {
public:
    Classifier(examples::Session& session, Digits& digits) : session_(session), digits_(digits) {
        MPS::CNNLossDescriptor descriptor(MPS::CNNLossType::SoftMaxCrossEntropy,
                                          MPS::CNNReductionType::Sum);
        descriptor.setWeight(1.0f / static_cast<float>(session.settings().batch));
        const MPS::CNNLossNode loss(logits(true), descriptor);
        const auto ends = loss.trainingGraph(std::nullopt, examples::gradientsInFloat32());
        training_ = MPS::NNGraph(session.device(), ends.at(0).resultImage(), true);
        training_.setFormat(session.format());

        const MPS::CNNSoftMaxNode softMax(logits(false));
        inference_ = MPS::NNGraph(session.device(), softMax.resultImage(), true);
        inference_.setFormat(session.format());

        const MPS::ImageDescriptor picture(MPS::ImageFeatureChannelFormat::Unorm8, digits.columns(),
                                           digits.rows(), 1);
        for (Operands& operands : operands_) {
            operands.images =
                MPS::Image::batch(session.device(), picture, session.settings().batch);
            // Twelve channels for ten classes, as the sample has them: whole groups of four.
            operands.labels = examples::makeLabels(session.device(), session.settings().batch,
                                                   {1, 1, (Digits::classes + 3) / 4 * 4});
        }
    }

    examples::Step submit(uint32_t step) {
        const Operands& operands = operands_[step % 2];
        const auto samples = digits_.batchOf(step);
        for (size_t i = 0; i < samples.size(); ++i) {
            write(operands.images[i], digits_.training().image(samples[i]));
            std::vector<float> oneHot((Digits::classes + 3) / 4 * 4);
            oneHot[digits_.training().labels[samples[i]]] = 1;
            operands.labels[i].as<MPS::CNNLossLabels>().labelsImage().write(oneHot);
        }
        // Such a command buffer may be committed part of the way.
        const MPS::CommandBuffer commands(session_.queue());
        training_.encodeBatch(commands, {operands.images}, {operands.labels});
        return {commands, [&operands] { return examples::sumOfLosses(operands.labels); }};
    }

    std::string accuracy() const {
        inference_.reloadFromDataSources();
        return digits_.accuracy(session_, inference_, operands_[0].images, write);
    }

private:
    struct Operands {
        MPS::ImageBatch images;
        MPS::StateBatch labels;
    };

    /// 5x5 convolutions to 32 and 64 channels with pooling after each, 1024 hidden units.
    MPS::NNImageNode logits(bool training) {
        examples::Layers& layers = session_.layers();
        const MPS::CNNConvolutionNode convolution1(
            MPS::NNImageNode(), layers.convolution("convolution 1", {5, 5, 1, 32}));
        const MPS::CNNNeuronReLUNode relu1(convolution1.resultImage());
        const MPS::CNNPoolingMaxNode pool1(relu1.resultImage(), 2);
        const MPS::CNNConvolutionNode convolution2(
            pool1.resultImage(), layers.convolution("convolution 2", {5, 5, 32, 64}));
        const MPS::CNNNeuronReLUNode relu2(convolution2.resultImage());
        const MPS::CNNPoolingMaxNode pool2(relu2.resultImage(), 2);
        const uint64_t width = (digits_.columns() + 3) / 4, height = (digits_.rows() + 3) / 4;
        const MPS::CNNFullyConnectedNode hidden(
            pool2.resultImage(), layers.convolution("hidden", {width, height, 64, 1024}));
        MPS::NNImageNode features = MPS::CNNNeuronReLUNode(hidden.resultImage()).resultImage();
        if (training) features = MPS::CNNDropoutNode(features, 0.5f, 1).resultImage();
        return MPS::CNNFullyConnectedNode(
                   features, layers.convolution("output", {1, 1, 1024, Digits::classes}))
            .resultImage();
    }

    static void write(const MPS::Image& image, std::span<const uint8_t> pixels) {
        image.writeBytes(std::as_bytes(pixels), MPS::DataLayout::HeightxWidthxFeatureChannels, 0);
    }

    examples::Session& session_;
    Digits& digits_;
    MPS::NNGraph training_, inference_;
    std::array<Operands, 2> operands_;
};

} // namespace

int main(int count, char** arguments) {
    examples::Program program(
        "MNIST",
        "Learns handwritten digits with the network of Apple's sample: two convolutions, dropout,\n"
        "two fully connected layers, softmax cross-entropy, Adam.",
        {.size = 0, .batch = 40, .steps = 150, .target = 0.35f, .update = {.learningRate = 1e-3f}});
    std::filesystem::path folder = Digits::defaultFolder();
    program.options().add("data", folder, "DIR", "Folder with IDX files, as MNIST has them",
                          folder.string());
    return program.run(count, arguments, [&](examples::Session& session) {
        Digits digits(folder, session.settings());
        Classifier classifier(session, digits);
        session.train([&](uint32_t step) { return classifier.submit(step); });
        session.say(classifier.accuracy());
    });
}
