// Trains a network that paints a photograph in the manner of another one, as Turi Create's style
// transfer does (Johnson et al., 2016): instance normalization, residual blocks and upsampling in
// the transformer; a second network, which is not trained and occurs three times in the graph,
// whose features and their Gram matrices are compared. There being no trained feature network
// here, it has random weights: the statistics of random filters tell textures apart too.
#include <algorithm>
#include <array>

#include <mpsvk/mpsvk.hpp>

#include "support/Pictures.hpp"
#include "support/Program.hpp"
#include "train/RandomStream.hpp"

using namespace mpsvk;

namespace {

struct Named : MPS::Handle {
    explicit Named(std::string name) : name(std::move(name)) {}
    std::string label() const override { return name; }
    std::string name;
};

MPS::NNImageNode input(const std::string& name) {
    return MPS::NNImageNode(std::make_shared<Named>(name));
}

MPS::NNImageNode relu(const MPS::NNImageNode& image) {
    return MPS::CNNNeuronReLUNode(image).resultImage();
}

/// From a photograph to a painting of the same size, if that is a multiple of 4.
class Transformer {
public:
    Transformer(examples::Layers& layers, uint64_t width) : layers_(layers), width_(width) {}

    MPS::NNImageNode painting(const MPS::NNImageNode& photograph) const {
        MPS::NNImageNode x = relu(wide("encode 1", photograph, 3, width_));
        x = relu(normalized("encode 2", x, width_, 2 * width_, 2));
        x = relu(normalized("encode 3", x, 2 * width_, 4 * width_, 2));
        for (const char* name : {"residual 1", "residual 2", "residual 3"}) {
            const MPS::NNImageNode first =
                relu(normalized(std::string(name) + " first", x, 4 * width_, 4 * width_, 1));
            const MPS::NNImageNode second =
                normalized(std::string(name) + " second", first, 4 * width_, 4 * width_, 1);
            x = MPS::NNAdditionNode(x, second).resultImage();
        }
        x = MPS::CNNUpsamplingNearestNode(x, 2, 2).resultImage();
        x = relu(normalized("decode 1", x, 4 * width_, 2 * width_, 1));
        x = MPS::CNNUpsamplingNearestNode(x, 2, 2).resultImage();
        x = relu(normalized("decode 2", x, 2 * width_, width_, 1));
        x = wide("decode 3", x, width_, 3);
        return MPS::CNNNeuronSigmoidNode(x).resultImage();
    }

private:
    MPS::NNImageNode normalization(const std::string& name, const MPS::NNImageNode& source,
                                   uint64_t channels) const {
        return MPS::CNNInstanceNormalizationNode(source,
                                                 layers_.instanceNormalization(name, channels))
            .resultImage();
    }

    MPS::NNImageNode normalized(const std::string& name, const MPS::NNImageNode& source,
                                uint64_t inputs, uint64_t outputs, uint64_t stride) const {
        MPS::CNNConvolutionDescriptor descriptor(3, 3, inputs, outputs);
        descriptor.setStrideInPixelsX(stride);
        descriptor.setStrideInPixelsY(stride);
        const MPS::CNNConvolutionNode convolution(source, layers_.convolution(name, descriptor));
        return normalization(name, convolution.resultImage(), outputs);
    }

    /// 9x9, with the picture mirrored at its edges: zeros there would become a frame.
    MPS::NNImageNode wide(const std::string& name, const MPS::NNImageNode& source, uint64_t inputs,
                          uint64_t outputs) const {
        const MPS::NNPadNode padded(source, {4, 4, 0}, {4, 4, 0}, MPS::ImageEdgeMode::Mirror);
        const MPS::CNNConvolutionNode convolution(
            padded.resultImage(), layers_.convolution(name, {9, 9, inputs, outputs}));
        convolution.setPaddingPolicy(
            MPS::NNDefaultPadding::padding(MPS::NNPaddingMethod::SizeValidOnly));
        return normalization(name, convolution.resultImage(), outputs);
    }

    examples::Layers& layers_;
    uint64_t width_;
};

/// Features at four scales, each of half the size and twice the channels of the one before.
class FeatureNetwork {
public:
    static constexpr size_t scales = 4, ofContent = 2;

    FeatureNetwork(examples::Layers& layers, uint64_t width) : layers_(layers), width_(width) {}

    std::array<MPS::NNImageNode, scales> features(MPS::NNImageNode image) const {
        std::array<MPS::NNImageNode, scales> all;
        uint64_t channels = 3;
        for (size_t i = 0; i < scales; ++i) {
            if (i > 0) image = MPS::CNNPoolingAverageNode(image, 2).resultImage();
            const MPS::CNNConvolutionNode convolution(
                image, layers_.convolution("features " + std::to_string(i + 1),
                                           {3, 3, channels, width_ << i}));
            convolution.setTrainingStyle(MPS::NNTrainingStyle::UpdateDeviceNone);
            image = relu(convolution.resultImage());
            all[i] = image;
            channels = width_ << i;
        }
        return all;
    }

private:
    examples::Layers& layers_;
    uint64_t width_;
};

class StyleTransfer {
public:
    StyleTransfer(examples::Session& session, examples::Picture content,
                  const examples::Picture& style, uint32_t width, float styleWeight)
        : session_(session), content_(std::move(content)), size_(session.settings().size / 4 * 4),
          transformer_(session.layers(), width), styleWeight_(styleWeight),
          style_(examples::squareOf(style, size_)), scale_(perChannel({4, 4, 4})),
          mean_(perChannel({1.9f, 1.9f, 1.7f})) {
        training_ = trainingGraph();
        training_.setFormat(session.format());
        inference_ =
            MPS::NNGraph(session.device(), transformer_.painting(MPS::NNImageNode()), true);
        inference_.setFormat(session.format());
        const MPS::ImageDescriptor picture(session.format(), size_, size_, 3);
        for (MPS::ImageBatch& images : contents_)
            images = MPS::Image::batch(session.device(), picture, session.settings().batch);
        styleImage_ = MPS::Image(session.device(), picture);
        styleImage_.write(style_.values);
    }

    examples::Step submit(uint32_t step) {
        const MPS::ImageBatch& contents = contents_[step % 2];
        const size_t batch = contents.size();
        for (size_t i = 0; i < batch; ++i) contents[i].write(randomCut(step * batch + i).values);
        // One image stands for the whole batch where all take the same one.
        std::vector<MPS::ImageBatch> sources;
        for (const auto& handle : training_.sourceImageHandles()) {
            const std::string name = handle->label();
            sources.push_back(name == "content" ? contents
                              : name == "style" ? MPS::ImageBatch(batch, styleImage_)
                              : name == "scale" ? MPS::ImageBatch(batch, scale_)
                                                : MPS::ImageBatch(batch, mean_));
        }
        const MTL::CommandBuffer commands = session_.queue().commandBuffer();
        std::vector<MPS::ImageBatch> exported;
        training_.encodeBatch(commands, sources, {}, &exported, nullptr);
        return {commands, [losses = exported.at(0)] {
                    double sum = 0;
                    for (const MPS::Image& image : losses) {
                        float loss = 0;
                        image.read(std::span(&loss, 1));
                        sum += loss;
                    }
                    return sum;
                }};
    }

    /// A sheet of photograph, style and painting, twice as large as in training.
    void paint() {
        inference_.reloadFromDataSources();
        const uint32_t size = 2 * size_;
        const examples::Picture photograph = examples::squareOf(content_, size);
        const MPS::Image image(session_.device(),
                               MPS::ImageDescriptor(session_.format(), size, size, 3));
        image.write(photograph.values);
        const MPS::Image result = session_.infer(inference_, {image}).at(0);
        examples::Picture painting(size, size);
        result.read(painting.values);
        examples::Sheet sheet({"photograph", "style", "painting"}, 1, 256);
        sheet.add(0, 0, photograph);
        sheet.add(0, 1, style_);
        sheet.add(0, 2, painting);
        sheet.save(session_.file("painting"));
    }

private:
    MPS::Image perChannel(const std::array<float, 3>& values) const {
        const MPS::Image image(session_.device(), MPS::ImageDescriptor(session_.format(), 1, 1, 3));
        image.write(values);
        return image;
    }

    examples::Picture randomCut(uint64_t index) const {
        train::RandomStream random(session_.settings().seed, train::RandomStream::Purpose::Data,
                                   index);
        const uint32_t largest = std::min(content_.width, content_.height);
        const uint32_t least = std::min(size_, largest);
        const uint32_t side = std::max(least, largest / 2 + random.below(largest / 2 + 1));
        const uint32_t left = random.below(content_.width - side + 1);
        const uint32_t top = random.below(content_.height - side + 1);
        return examples::scaled(examples::cut(content_, left, top, side, side), size_, size_);
    }

    MPS::NNGraph trainingGraph() const {
        const MPS::NNImageNode content = input("content"), style = input("style"),
                               scale = input("scale"), mean = input("mean");
        const FeatureNetwork network(session_.layers(), 16);
        const auto features = [&](const MPS::NNImageNode& image) {
            const MPS::NNMultiplicationNode scaled(image, scale);
            const MPS::NNSubtractionNode centred(scaled.resultImage(), mean);
            for (const MPS::NNBinaryArithmeticNode& node :
                 {MPS::NNBinaryArithmeticNode(scaled), MPS::NNBinaryArithmeticNode(centred)}) {
                node.setSecondaryStrideInPixelsX(0); // one pixel for the whole image
                node.setSecondaryStrideInPixelsY(0);
            }
            return network.features(centred.resultImage());
        };
        const auto painted = features(transformer_.painting(content));
        const auto wanted = features(content), styled = features(style);

        MPS::NNImageNode total =
            loss(painted[FeatureNetwork::ofContent], wanted[FeatureNetwork::ofContent], 1);
        uint32_t side = size_;
        for (size_t i = 0; i < FeatureNetwork::scales; ++i, side = (side + 1) / 2) {
            const auto area = static_cast<float>(side * side);
            const MPS::NNGramMatrixCalculationNode own(painted[i], 1 / area);
            const MPS::NNGramMatrixCalculationNode other(styled[i], 1 / area);
            total = MPS::NNAdditionNode(total,
                                        loss(own.resultImage(), other.resultImage(), styleWeight_))
                        .resultImage();
        }
        total.setHandle(std::make_shared<Named>("loss"));
        total.setExportFromGraph(true);
        total.setImageAllocator(MPS::Image::defaultAllocator());

        const MPS::NNInitialGradientNode one(total);
        const auto ends = one.trainingGraph(
            std::nullopt, [](const MPS::NNFilterNode& gradient, const MPS::NNFilterNode&,
                             const MPS::NNImageNode& of, const MPS::NNImageNode&) {
                gradient.resultImage().setFormat(MPS::ImageFeatureChannelFormat::Float32);
                gradient.resultImage().setHandle(of.handle());
            });
        // The branches end at all inputs; the transformer lies on the way to the photograph.
        const auto end = std::ranges::find_if(ends, [&](const MPS::NNFilterNode& node) {
            return node.resultImage().handle() == content.handle();
        });
        return MPS::NNGraph(session_.device(), end->resultImage(), false);
    }

    /// The mean squared difference; nothing is learned through the wanted value.
    MPS::NNImageNode loss(const MPS::NNImageNode& value, const MPS::NNImageNode& wanted,
                          float weight) const {
        wanted.setStopGradient(true);
        MPS::CNNLossDescriptor descriptor(MPS::CNNLossType::MeanSquaredError,
                                          MPS::CNNReductionType::Mean);
        descriptor.setWeight(weight / static_cast<float>(session_.settings().batch));
        const MPS::NNForwardLossNode node(value, wanted, descriptor);
        node.resultImage().setFormat(MPS::ImageFeatureChannelFormat::Float32);
        return node.resultImage();
    }

    examples::Session& session_;
    examples::Picture content_;
    uint32_t size_;
    Transformer transformer_;
    float styleWeight_;
    examples::Picture style_;
    MPS::Image scale_, mean_, styleImage_;
    MPS::NNGraph training_, inference_;
    std::array<MPS::ImageBatch, 2> contents_;
};

} // namespace

int main(int count, char** arguments) {
    const std::filesystem::path photos = std::filesystem::path(MPSVK_DATA_DIRECTORY) / "photos";
    examples::Program program(
        "StyleTransfer",
        "Trains a network that paints a photograph in the manner of another one. --size is "
        "rounded\n"
        "down to a multiple of 4.",
        {.size = 48, .batch = 2, .steps = 80, .target = 5, .update = {.learningRate = 1e-2f}});
    std::filesystem::path content = photos / "china.jpg", style = photos / "flower.jpg";
    uint32_t width = 8;
    float styleWeight = 1;
    program.options().add("content", content, "FILE", "The photograph to paint", content.string());
    program.options().add("style", style, "FILE", "The picture in whose manner", style.string());
    program.options().addNumber("width", width, 4, 256,
                                "Channels of the transformer's first layer; 32 in the paper");
    program.options().addReal("style-weight", styleWeight, 0, 1e9,
                              "What the style counts; the content counts 1");
    return program.run(count, arguments, [&](examples::Session& session) {
        if (session.settings().size < 8)
            throw train::UsageError("--size " + std::to_string(session.settings().size) +
                                    " is less than 8, too small to be mirrored at its edges.");
        StyleTransfer transfer(session, examples::readPicture(content),
                               examples::readPicture(style), width, styleWeight);
        session.train([&](uint32_t step) { return transfer.submit(step); });
        transfer.paint();
    });
}
