// Learns to write sonnets, character by character: an LSTM on matrices, trained through time in
// pieces that hand their state on, with Adam over each of its matrices of weights.
#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iterator>
#include <string>

#include <mpsvk/mpsvk.hpp>

#include "support/Program.hpp"
#include "train/RandomStream.hpp"

using namespace mpsvk;

namespace {

struct Sizes {
    uint32_t hidden = 96; ///< of the LSTM
    uint32_t length = 24; ///< characters that a step goes through in each stream
    uint32_t sample = 400;
};

/// A text as numbers of its characters.
struct Text {
    explicit Text(const std::filesystem::path& path) {
        std::ifstream file(path, std::ios::binary);
        const std::string all{std::istreambuf_iterator<char>(file), {}};
        if (all.size() < 2) throw FormatError(path.string() + " holds no text or cannot be read.");
        alphabet = all;
        std::ranges::sort(alphabet);
        alphabet.erase(std::ranges::unique(alphabet).begin(), alphabet.end());
        for (const char c : all) letters.push_back(uint32_t(alphabet.find(c)));
    }
    std::string alphabet;
    std::vector<uint32_t> letters;
};

/// A recurrent layer with its weights and how they change.
class Layer {
public:
    Layer(const examples::Session& session, const MPS::RNNDescriptor& descriptor)
        : kernel_(session.device(), descriptor, &weights_) {
        // Long sequences have steep gradients now and then.
        const MPS::NNOptimizerDescriptor clipped(session.settings().update.learningRate, 1, true, 1,
                                                 -1, MPS::NNRegularizationType::None, 0);
        for (size_t i = 0; i < weights_.size(); ++i)
            optimizers_.emplace_back(session.device(), 0.9, 0.999, 1e-8f, 0, clipped);
        for (auto* set : {&gradients_, &momenta_, &velocities_})
            kernel_.createWeightGradientMatrices(set, MPS::DataType::Float32);
    }

    MPS::RNNMatrixTrainingLayer& kernel() { return kernel_; }
    const std::vector<MPS::Matrix>& weights() const { return weights_; }
    const std::vector<MPS::Matrix>& gradients() const { return gradients_; }

    void update(const MTL::CommandBuffer& commands, float rate) {
        for (size_t i = 0; i < weights_.size(); ++i) {
            optimizers_[i].setLearningRate(rate);
            optimizers_[i].encode(commands, gradients_[i], weights_[i], momenta_[i], velocities_[i],
                                  weights_[i]);
        }
    }

private:
    std::vector<MPS::Matrix> weights_, gradients_, momenta_, velocities_;
    MPS::RNNMatrixTrainingLayer kernel_;
    std::vector<MPS::NNOptimizerAdam> optimizers_;
};

/// The rows of all time steps in one buffer, so that products go over all of them at once.
struct Rows {
    Rows(const MTL::Device& device, uint64_t length, uint64_t streams, uint64_t columns,
         MPS::DataType type) {
        const uint64_t rowBytes = columns * MPS::bytesPerElement(type);
        const MTL::Buffer buffer = device.newBuffer(length * streams * rowBytes);
        const auto view = [&](uint64_t first, uint64_t count, uint64_t width) {
            return MPS::Matrix(
                buffer, first * rowBytes,
                MPS::MatrixDescriptor(count, width, width * MPS::bytesPerElement(type), type));
        };
        all = view(0, length * streams, columns);
        line = view(0, 1, length * streams * columns);
        for (uint64_t t = 0; t < length; ++t) steps.push_back(view(t * streams, streams, columns));
    }
    MPS::Matrix all, line; ///< line: all elements in one row
    std::vector<MPS::Matrix> steps;
};

class Writer {
public:
    Writer(examples::Session& session, const Text& text, const Sizes& sizes)
        : session_(session), text_(text), sizes_(sizes), streams_(session.settings().batch),
          type_(session.settings().precision == "fp16" ? MPS::DataType::Float16
                                                       : MPS::DataType::Float32),
          lstm_(session, lstmDescriptor()), output_(session, outputDescriptor()),
          hidden_(rows(sizes.hidden, type_)), hiddenGradient_(rows(sizes.hidden, type_)),
          scores_(rows(letters(), MPS::DataType::Float32)) {
        MPS::CNNLossDescriptor descriptor(MPS::CNNLossType::SoftMaxCrossEntropy,
                                          MPS::CNNReductionType::Sum);
        descriptor.setWeight(1.0f / float(predictions()));
        loss_ = std::make_unique<MPS::CNNLoss>(session.device(), descriptor);
        const MPS::ImageDescriptor scores(MPS::ImageFeatureChannelFormat::Float32, predictions(), 1,
                                          letters());
        scoreImage_ = MPS::Image(session.device(), scores);
        gradientImage_ = MPS::Image(session.device(), scores);
        for (Operands& operands : operands_) {
            operands.sources.emplace_back(rows(letters(), type_));
            operands.labels =
                examples::makeLabels(session.device(), 1, {predictions(), 1, letters()});
        }
        for (Layer* layer : {&lstm_, &output_}) layer->kernel().setTrainingStateIsTemporary(true);
    }

    examples::Step submit(uint32_t step) {
        const Operands& operands = operands_[step % 2];
        write(operands, step);
        const MTL::CommandBuffer commands = session_.queue().commandBuffer();
        std::vector<MPS::RNNMatrixTrainingState> lstmStates, outputStates;
        std::vector<MPS::RNNRecurrentMatrixState> last;
        const std::vector<MPS::Matrix>& sources = operands.sources[0].steps;
        lstm_.kernel().encodeForwardSequence(commands, sources, {}, hidden_.steps, {}, &lstmStates,
                                             state_, &last, lstm_.weights());
        state_ = last[0];
        // Without recurrent weights all rows of all times are one time step.
        output_.kernel().encodeForwardSequence(commands, {hidden_.all}, {scores_.all},
                                               &outputStates, output_.weights());
        toImage_.encode(commands, scores_.line, scoreImage_);
        loss_->encode(commands, scoreImage_, operands.labels[0].as<MPS::CNNLossLabels>(),
                      gradientImage_);
        toMatrix_.encode(commands, gradientImage_, scores_.line); // in the place of the scores
        output_.kernel().encodeGradientSequence(commands, {hidden_.all}, {scores_.all},
                                                {hiddenGradient_.all}, output_.gradients(),
                                                outputStates, output_.weights());
        lstm_.kernel().encodeGradientSequence(commands, sources, hiddenGradient_.steps, {},
                                              lstm_.gradients(), lstmStates, lstm_.weights());
        const float progress = float(step) / float(session_.settings().steps);
        const float rate = session_.settings().update.learningRate * (1 - 0.9f * progress);
        lstm_.update(commands, rate);
        output_.update(commands, rate);
        return {commands, [&operands] { return examples::sumOfLosses(operands.labels); }};
    }

    /// Text that goes on from a line's end, each character drawn by its probability.
    std::string sample() {
        const MTL::Device& device = session_.device();
        const Rows source(device, 1, 1, letters(), type_),
            hidden(device, 1, 1, sizes_.hidden, type_),
            scores(device, 1, 1, letters(), MPS::DataType::Float32);
        train::RandomStream random(session_.settings().seed, train::RandomStream::Purpose::Data, 1);
        MPS::RNNRecurrentMatrixState state;
        std::string written;
        uint32_t letter = uint32_t(std::min(text_.alphabet.find('\n'), text_.alphabet.size() - 1));
        for (uint32_t i = 0; i < sizes_.sample; ++i) {
            std::vector<float> values(letters());
            values[letter] = 1;
            source.all.write(values);
            const MTL::CommandBuffer commands = session_.queue().commandBuffer();
            std::vector<MPS::RNNRecurrentMatrixState> next;
            lstm_.kernel().encodeForwardSequence(commands, source.steps, {}, hidden.steps, {},
                                                 nullptr, state, &next, lstm_.weights());
            output_.kernel().encodeForwardSequence(commands, hidden.steps, scores.steps, nullptr,
                                                   output_.weights());
            commands.commit();
            examples::waitFor(commands);
            state = next[0];
            scores.all.read(values);
            letter = drawn(values, random);
            written += text_.alphabet[letter];
        }
        return written;
    }

private:
    struct Operands {
        std::vector<Rows> sources;
        MPS::StateBatch labels;
    };

    uint64_t letters() const { return text_.alphabet.size(); }
    uint64_t predictions() const { return uint64_t(sizes_.length) * streams_; }
    Rows rows(uint64_t columns, MPS::DataType type) const {
        return {session_.device(), sizes_.length, streams_, columns, type};
    }

    std::shared_ptr<MPS::CNNConvolutionDataSource> weights(const std::string& name, uint64_t inputs,
                                                           uint64_t outputs,
                                                           MPS::CNNNeuronType neuron) const {
        MPS::CNNConvolutionDescriptor descriptor(1, 1, inputs, outputs);
        descriptor.setFusedNeuronDescriptor(MPS::NNNeuronDescriptor(neuron, 1, 1));
        return session_.layers().convolution(name, descriptor);
    }

    MPS::LSTMDescriptor lstmDescriptor() const {
        using Type = MPS::CNNNeuronType;
        MPS::LSTMDescriptor d(letters(), sizes_.hidden);
        const auto input = [&](const char* gate, Type neuron) {
            return weights(std::string(gate) + " gate, input", letters(), sizes_.hidden, neuron);
        };
        const auto recurrent = [&](const char* gate) {
            return weights(std::string(gate) + " gate, recurrent", sizes_.hidden, sizes_.hidden,
                           Type::None);
        };
        d.setInputGateInputWeights(input("input", Type::Sigmoid));
        d.setInputGateRecurrentWeights(recurrent("input"));
        d.setForgetGateInputWeights(input("forget", Type::Sigmoid));
        d.setForgetGateRecurrentWeights(recurrent("forget"));
        d.setOutputGateInputWeights(input("output", Type::Sigmoid));
        d.setOutputGateRecurrentWeights(recurrent("output"));
        d.setCellGateInputWeights(input("cell", Type::TanH));
        d.setCellGateRecurrentWeights(recurrent("cell"));
        d.setUseFloat32Weights(true); // as optimizers take them
        return d;
    }

    MPS::RNNSingleGateDescriptor outputDescriptor() const {
        MPS::RNNSingleGateDescriptor d(sizes_.hidden, letters());
        d.setInputWeights(weights("output", sizes_.hidden, letters(), MPS::CNNNeuronType::None));
        d.setUseFloat32Weights(true);
        return d;
    }

    /// Stream s reads the text from its own place on, round and round.
    void write(const Operands& operands, uint32_t step) {
        const uint64_t size = text_.letters.size();
        std::vector<float> sources(predictions() * letters()), labels(sources.size());
        for (uint64_t t = 0; t < sizes_.length; ++t)
            for (uint64_t s = 0; s < streams_; ++s) {
                const uint64_t place = s * size / streams_ + uint64_t(step) * sizes_.length + t;
                const uint64_t row = (t * streams_ + s) * letters();
                sources[row + text_.letters[place % size]] = 1;
                labels[row + text_.letters[(place + 1) % size]] = 1;
            }
        operands.sources[0].all.write(sources);
        operands.labels[0].as<MPS::CNNLossLabels>().labelsImage().write(labels);
    }

    static uint32_t drawn(const std::vector<float>& scores, train::RandomStream& random) {
        const float highest = *std::ranges::max_element(scores);
        std::vector<double> sums;
        double sum = 0;
        for (const float score : scores) sums.push_back(sum += std::exp(double(score - highest)));
        const double at = sum * double(random.below(1u << 24)) / double(1u << 24);
        return uint32_t(std::ranges::upper_bound(sums, at) - sums.begin());
    }

    examples::Session& session_;
    const Text& text_;
    const Sizes sizes_;
    const uint64_t streams_;
    const MPS::DataType type_;
    Layer lstm_, output_;
    Rows hidden_, hiddenGradient_;
    Rows scores_; ///< later in a step their gradients
    std::unique_ptr<MPS::CNNLoss> loss_;
    MPS::Image scoreImage_, gradientImage_;
    MPS::MatrixCopyToImage toImage_{session_.device(),
                                    MPS::DataLayout::HeightxWidthxFeatureChannels};
    MPS::ImageCopyToMatrix toMatrix_{session_.device(),
                                     MPS::DataLayout::HeightxWidthxFeatureChannels};
    MPS::RNNRecurrentMatrixState state_; ///< that the next step's streams begin with
    std::array<Operands, 2> operands_;
};

} // namespace

int main(int count, char** arguments) {
    examples::Program program(
        "CharacterLSTM",
        "Learns to write sonnets, character by character: an LSTM, trained through time, and a\n"
        "softmax over the characters. An image of --batch is a stream through the text.",
        {.size = 0, .batch = 16, .steps = 400, .target = 1.8f, .update = {.learningRate = 1e-2f}});
    std::filesystem::path text =
        std::filesystem::path(MPSVK_DATA_DIRECTORY) / "sonnets" / "sonnets.txt";
    Sizes sizes;
    program.options().add("text", text, "FILE", "A text to learn", text.string());
    program.options().addNumber("hidden", sizes.hidden, 1, 65536, "Channels of the LSTM");
    program.options().addNumber("length", sizes.length, 1, 65536,
                                "Characters that a step goes through in each stream");
    program.options().addNumber("sample", sizes.sample, 0, 1000000,
                                "Characters that are written in the end");
    return program.run(count, arguments, [&](examples::Session& session) {
        const Text learned(text);
        Writer writer(session, learned, sizes);
        session.train([&](uint32_t step) { return writer.submit(step); });
        session.say(writer.sample());
    });
}
