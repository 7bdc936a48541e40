// Learns handwritten digits as Apple's sample "Training a Neural Network with Metal Performance
// Shaders" does: a training and an inference graph share their data sources, two steps are in
// flight, the loss comes in the labels, and the inference graph reloads before each evaluation.
#include <algorithm>
#include <array>

#include <mpsvk/MPS/CommandBuffer.hpp>
#include <mpsvk/mpsvk.hpp>

#include "support/Program.hpp"
#include "train/IdxDataset.hpp"
#include "train/Sampling.hpp"

using namespace mpsvk;

namespace {

constexpr uint32_t classes = 10;

class Classifier {
public:
    Classifier(examples::Session& session, const train::IdxDataset& data)
        : session_(session), data_(data) {
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

        const MPS::ImageDescriptor picture(MPS::ImageFeatureChannelFormat::Unorm8, data.columns,
                                           data.rows, 1);
        for (Operands& operands : operands_) {
            operands.images =
                MPS::Image::batch(session.device(), picture, session.settings().batch);
            // Twelve channels for ten classes, as the sample has them: whole groups of four.
            operands.labels = examples::makeLabels(session.device(), session.settings().batch,
                                                   {1, 1, (classes + 3) / 4 * 4});
        }
    }

    examples::Step submit(uint32_t step) {
        const uint32_t batch = session_.settings().batch;
        const uint32_t perEpoch = data_.train.count() / batch, epoch = step / perEpoch;
        if (step % perEpoch == 0)
            order_ = train::epochOrder(session_.settings().seed, epoch, data_.train.count());
        const Operands& operands = operands_[step % 2];
        for (uint32_t i = 0; i < batch; ++i) {
            const uint32_t sample = order_[size_t{step % perEpoch} * batch + i];
            write(operands.images[i], data_.train.image(sample));
            std::vector<float> oneHot((classes + 3) / 4 * 4);
            oneHot[data_.train.labels[sample]] = 1;
            operands.labels[i].as<MPS::CNNLossLabels>().labelsImage().write(oneHot);
        }
        // Such a command buffer may be committed part of the way.
        const MPS::CommandBuffer commands(session_.queue());
        training_.encodeBatch(commands, {operands.images}, {operands.labels});
        return {commands, [&operands] { return examples::sumOfLosses(operands.labels); }};
    }

    /// Right guesses of the images that were held out, in percent.
    double accuracy() {
        inference_.reloadFromDataSources();
        const MPS::ImageBatch& images = operands_[0].images;
        const auto batch = static_cast<uint32_t>(images.size());
        uint32_t right = 0;
        for (uint32_t first = 0; first < data_.test.count(); first += batch) {
            const uint32_t count = std::min(batch, data_.test.count() - first);
            for (uint32_t i = 0; i < count; ++i) write(images[i], data_.test.image(first + i));
            const MTL::CommandBuffer commands = session_.queue().commandBuffer();
            const MPS::ImageBatch probabilities = inference_.encodeBatch(commands, {images});
            commands.commit();
            examples::waitFor(commands);
            for (uint32_t i = 0; i < count; ++i) {
                std::array<float, classes> values;
                probabilities[i].read(values);
                const auto guess = std::ranges::max_element(values) - values.begin();
                right += guess == data_.test.labels[first + i] ? 1 : 0;
            }
        }
        return 100.0 * right / data_.test.count();
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
        const uint64_t width = (data_.columns + 3) / 4, height = (data_.rows + 3) / 4;
        const MPS::CNNFullyConnectedNode hidden(
            pool2.resultImage(), layers.convolution("hidden", {width, height, 64, 1024}));
        MPS::NNImageNode features = MPS::CNNNeuronReLUNode(hidden.resultImage()).resultImage();
        if (training) features = MPS::CNNDropoutNode(features, 0.5f, 1).resultImage();
        return MPS::CNNFullyConnectedNode(features,
                                          layers.convolution("output", {1, 1, 1024, classes}))
            .resultImage();
    }

    static void write(const MPS::Image& image, std::span<const uint8_t> pixels) {
        image.writeBytes(std::as_bytes(pixels), MPS::DataLayout::HeightxWidthxFeatureChannels, 0);
    }

    examples::Session& session_;
    const train::IdxDataset& data_;
    MPS::NNGraph training_, inference_;
    std::array<Operands, 2> operands_;
    std::vector<uint32_t> order_;
};

} // namespace

int main(int count, char** arguments) {
    examples::Program program(
        "MNIST",
        "Learns handwritten digits with the network of Apple's sample: two convolutions, dropout,\n"
        "two fully connected layers, softmax cross-entropy, Adam.",
        {.size = 0, .batch = 40, .steps = 150, .target = 0.35f, .update = {.learningRate = 1e-3f}});
    std::filesystem::path folder = std::filesystem::path(MPSVK_DATA_DIRECTORY) / "digits";
    program.options().add("data", folder, "DIR", "Folder with IDX files, as MNIST has them",
                          folder.string());
    return program.run(count, arguments, [&](examples::Session& session) {
        const train::IdxDataset data = train::loadIdxDataset(folder, classes);
        if (session.settings().batch > data.train.count())
            throw train::UsageError("--batch " + std::to_string(session.settings().batch) +
                                    " is more than the " + std::to_string(data.train.count()) +
                                    " training images.");
        Classifier classifier(session, data);
        session.train([&](uint32_t step) { return classifier.submit(step); });
        session.say(std::to_string(classifier.accuracy()).substr(0, 5) + " % of " +
                    std::to_string(data.test.count()) + " held-out images guessed right");
    });
}
