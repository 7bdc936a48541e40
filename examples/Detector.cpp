// Finds shapes in drawings as the object detector of Turi Create does (a small YOLO): convolutions
// with batch normalization, leaky ReLU and pooling down to a grid whose cells predict boxes for
// their anchors. The backward chain is built by hand, node by node.
#include <algorithm>
#include <array>
#include <cmath>

#include <mpsvk/mpsvk.hpp>

#include "support/Program.hpp"
#include "support/Shapes.hpp"

using namespace mpsvk;

namespace {

constexpr uint32_t cell = 16; ///< pixels of the drawing to a side of a grid cell
constexpr uint32_t classes = examples::shapeKinds;
constexpr uint32_t perAnchor = 5 + classes; ///< x, y, width, height, confidence, classes
constexpr std::array<float, 4> anchors{1.1f, 1.1f, 1.9f, 1.9f}; ///< {width, height} in cells
constexpr uint32_t anchorCount = anchors.size() / 2;
constexpr uint64_t testSet = 1; ///< added to the seed: drawings that training never sees

struct Found {
    examples::Shape box;
    float confidence = 0;
};

struct NamedInput : MPS::Handle {
    explicit NamedInput(std::string name) : name(std::move(name)) {}
    std::string label() const override { return name; }
    std::string name;
};

double overlap(const examples::Shape& a, const examples::Shape& b) {
    const auto along = [](float p, float sizeP, float q, float sizeQ) {
        return std::max(0.0f, std::min(p + sizeP / 2, q + sizeQ / 2) -
                                  std::max(p - sizeP / 2, q - sizeQ / 2));
    };
    const double common = double(along(a.centreX, a.width, b.centreX, b.width)) *
                          double(along(a.centreY, a.height, b.centreY, b.height));
    return common / (double(a.width) * a.height + double(b.width) * b.height - common);
}

class Detector {
public:
    Detector(examples::Session& session, uint64_t width)
        : session_(session), width_(width), grid_(session.settings().size / cell) {
        training_ = trainingGraph();
        training_.setFormat(session.format());
        inference_ = MPS::NNGraph(session.device(), forward().back().resultImage(), true);
        inference_.setFormat(session.format());
        const uint32_t size = grid_ * cell;
        const MPS::ImageDescriptor picture(session.format(), size, size, 3);
        for (Operands& operands : operands_) {
            operands.images =
                MPS::Image::batch(session.device(), picture, session.settings().batch);
            operands.labels = examples::makeLabels(session.device(), session.settings().batch,
                                                   {grid_, grid_, anchorCount * perAnchor});
        }
    }

    examples::Step submit(uint32_t step) {
        const Operands& operands = operands_[step % 2];
        const size_t batch = operands.images.size();
        for (size_t i = 0; i < batch; ++i) {
            const auto drawing = draw(session_.settings().seed, step * batch + i);
            operands.images[i].write(drawing.picture.values);
            operands.labels[i].as<MPS::CNNLossLabels>().labelsImage().write(labelsOf(drawing));
        }
        const MTL::CommandBuffer commands = session_.queue().commandBuffer();
        // The graph says by their handles which states it wants, and in which order.
        std::vector<MPS::StateBatch> states;
        for (const auto& handle : training_.sourceStateHandles())
            if (handle && handle->label() == "labels") states.push_back(operands.labels);
        training_.encodeBatch(commands, {operands.images}, states);
        return {commands, [&operands] { return examples::sumOfLosses(operands.labels); }};
    }

    /// Saves a sheet of new drawings with the true boxes in white and the predicted ones in red;
    /// returns the percentage of shapes that are found, with the right kind.
    std::string detectInNewDrawings() {
        inference_.reloadFromDataSources();
        const MPS::ImageBatch& images = operands_[0].images;
        std::vector<examples::Drawing> drawings;
        for (size_t i = 0; i < images.size(); ++i) {
            drawings.push_back(draw(session_.settings().seed + testSet, i));
            images[i].write(drawings[i].picture.values);
        }
        const MPS::ImageBatch results = session_.infer(inference_, images);

        const size_t shown = std::min<size_t>(images.size(), 4);
        examples::Sheet sheet(std::vector<std::string>(shown), 1, 192);
        size_t right = 0, all = 0;
        for (size_t i = 0; i < images.size(); ++i) {
            std::vector<float> values(size_t{grid_} * grid_ * anchorCount * perAnchor);
            results[i].read(values);
            const std::vector<Found> found = boxesOf(values);
            for (const examples::Shape& shape : drawings[i].shapes) {
                right += std::ranges::any_of(found,
                                             [&](const Found& f) {
                                                 return f.box.kind == shape.kind &&
                                                        overlap(f.box, shape) > 0.4;
                                             })
                             ? 1
                             : 0;
                ++all;
            }
            if (i >= shown) continue;
            const examples::Picture& picture = drawings[i].picture;
            sheet.add(0, i, picture);
            const auto frame = [&](const examples::Shape& box, train::Colour colour) {
                sheet.frame(0, i, picture,
                            {box.centreX - box.width / 2, box.centreY - box.height / 2},
                            {box.centreX + box.width / 2, box.centreY + box.height / 2}, colour);
            };
            for (const examples::Shape& shape : drawings[i].shapes) frame(shape, {255, 255, 255});
            for (const Found& f : found) frame(f.box, {220, 30, 40});
        }
        sheet.save(session_.file("boxes"));
        return examples::percent(right, all);
    }

private:
    struct Operands {
        MPS::ImageBatch images;
        MPS::StateBatch labels;
    };

    /// The layers in order; the last one's result is the grid.
    std::vector<MPS::NNFilterNode> forward() const {
        examples::Layers& layers = session_.layers();
        std::vector<MPS::NNFilterNode> nodes;
        MPS::NNImageNode image;
        const auto add = [&](const MPS::NNFilterNode& node) {
            nodes.push_back(node);
            image = node.resultImage();
        };
        uint64_t channels = 3;
        for (uint32_t i = 0; i < 5; ++i) {
            const std::string name = "convolution " + std::to_string(i + 1);
            const uint64_t outputs = width_ << i;
            add(MPS::CNNConvolutionNode(image,
                                        layers.convolution(name, {3, 3, channels, outputs})));
            add(MPS::CNNBatchNormalizationNode(image, layers.batchNormalization(name, outputs)));
            add(MPS::CNNNeuronReLUNode(image, 0.1f));
            if (i < 4) add(MPS::CNNPoolingMaxNode(image, 2));
            channels = outputs;
        }
        add(MPS::CNNConvolutionNode(
            image, layers.convolution("grid", {1, 1, channels, anchorCount * perAnchor})));
        return nodes;
    }

    MPS::CNNYOLOLossDescriptor lossDescriptor() const {
        MPS::CNNYOLOLossDescriptor descriptor(
            MPS::CNNLossType::MeanSquaredError, MPS::CNNLossType::Huber,
            MPS::CNNLossType::SigmoidCrossEntropy, MPS::CNNLossType::SoftMaxCrossEntropy,
            MPS::CNNReductionType::Sum, anchors, anchorCount);
        const float share = 1.0f / static_cast<float>(session_.settings().batch);
        descriptor.setRescore(false);
        descriptor.setScaleXY(2 * share);
        descriptor.setScaleWH(2 * share);
        descriptor.setScaleNoObject(0.5f * share);
        descriptor.setScaleObject(2 * share);
        descriptor.setScaleClass(share);
        return descriptor;
    }

    MPS::NNGraph trainingGraph() const {
        const std::vector<MPS::NNFilterNode> nodes = forward();
        const MPS::CNNYOLOLossNode loss(nodes.back().resultImage(), lossDescriptor());
        loss.inputLabels().setHandle(std::make_shared<NamedInput>("labels"));
        MPS::NNImageNode gradient = loss.resultImage();
        gradient.setFormat(MPS::ImageFeatureChannelFormat::Float32);
        for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
            gradient = node->gradientFilter(gradient).resultImage();
            gradient.setFormat(MPS::ImageFeatureChannelFormat::Float32);
        }
        return MPS::NNGraph(session_.device(), gradient, false);
    }

    examples::Drawing draw(uint64_t seed, uint64_t index) const {
        return examples::drawShapes(seed, index, grid_ * cell, 1 + index % 2, 0.25f, 0.5f);
    }

    /// The cell that a shape's centre lies in has its box, for each anchor.
    std::vector<float> labelsOf(const examples::Drawing& drawing) const {
        std::vector<float> labels(size_t{grid_} * grid_ * anchorCount * perAnchor);
        for (const examples::Shape& shape : drawing.shapes) {
            const float x = shape.centreX / cell, y = shape.centreY / cell;
            const auto column = std::min(static_cast<uint32_t>(x), grid_ - 1);
            const auto row = std::min(static_cast<uint32_t>(y), grid_ - 1);
            for (uint32_t a = 0; a < anchorCount; ++a) {
                float* label = &labels[((row * grid_ + column) * anchorCount + a) * perAnchor];
                std::fill_n(label, perAnchor, 0.0f);
                label[0] = x - static_cast<float>(column);
                label[1] = y - static_cast<float>(row);
                label[2] = shape.width / cell;
                label[3] = shape.height / cell;
                label[4] = 1;
                label[5 + static_cast<uint32_t>(shape.kind)] = 1;
            }
        }
        return labels;
    }

    /// Boxes that are more likely there than not, without those that mostly cover a surer one.
    std::vector<Found> boxesOf(const std::vector<float>& values) const {
        const auto sigmoid = [](float x) { return 1 / (1 + std::exp(-x)); };
        std::vector<Found> all, kept;
        for (size_t i = 0; i < values.size(); i += perAnchor) {
            const float* v = &values[i];
            const size_t a = i / perAnchor % anchorCount, place = i / perAnchor / anchorCount;
            const float confidence = sigmoid(v[4]);
            if (confidence < 0.5f) continue;
            const auto kind = std::max_element(v + 5, v + perAnchor) - (v + 5);
            all.push_back({{static_cast<examples::ShapeKind>(kind),
                            (static_cast<float>(place % grid_) + sigmoid(v[0])) * cell,
                            (static_cast<float>(place / grid_) + sigmoid(v[1])) * cell,
                            anchors[2 * a] * std::exp(v[2]) * cell,
                            anchors[2 * a + 1] * std::exp(v[3]) * cell},
                           confidence});
        }
        std::ranges::sort(all, std::greater(), &Found::confidence);
        for (const Found& f : all) {
            const bool isNew = std::ranges::none_of(
                kept, [&](const Found& other) { return overlap(f.box, other.box) > 0.45; });
            if (isNew) kept.push_back(f);
        }
        return kept;
    }

    examples::Session& session_;
    uint64_t width_;
    uint32_t grid_;
    MPS::NNGraph training_, inference_;
    std::array<Operands, 2> operands_;
};

} // namespace

int main(int count, char** arguments) {
    examples::Program program(
        "Detector",
        "Trains a small YOLO to find discs, squares and triangles in drawings. --size is rounded\n"
        "down to a multiple of 16.",
        {.size = 64,
         .batch = 16,
         .steps = 120,
         .target = 3,
         .update = {.rule = train::UpdateRule::StochasticGradientDescent,
                    .learningRate = 0.01f,
                    .weightDecay = 5e-4f}});
    uint32_t width = 8;
    program.options().addNumber("width", width, 4, 1024,
                                "Channels of the first layer; 16 in Tiny YOLO");
    return program.run(count, arguments, [&](examples::Session& session) {
        if (session.settings().size < cell)
            throw train::UsageError("--size " + std::to_string(session.settings().size) +
                                    " is less than the 16 pixels of a cell.");
        Detector detector(session, width);
        session.train([&](uint32_t step) { return detector.submit(step); });
        session.say(detector.detectInNewDrawings() + " of the shapes in new drawings are found");
    });
}
