// Instance and group normalization and their gradients against the reference.
#include "mps/NormalizationKernels.hpp"
#include "support/Conformance.hpp"
#include "support/GradientCheck.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cfloat>
#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

void checkAgainstReference(const Normalized& actual, const GroupNormalization& k, const Tensor& x,
                           const Tensor& g, Variant variant) {
    const auto d = reference::gradient(k, g, x);
    CHECK(reference::compare(actual.y, reference::forward(k, x), {variant.tolerance()}));
    CHECK(reference::compare(actual.dx, d.source, {variant.tolerance()}));
    CHECK(reference::compare(actual.gamma, d.gamma.v));
    CHECK(reference::compare(actual.beta, d.beta.v));
}

struct Case {
    size_t channels, groups, width, height;
};

} // namespace

TEST_CASE("group normalization equals the reference for all ways to group, in each storage") {
    const Case cases[] = {{1, 1, 4, 5},    {3, 1, 4, 5},   {3, 3, 4, 5},   {4, 2, 3, 3},
                          {5, 5, 4, 5},    {8, 2, 4, 5},   {8, 4, 13, 11}, {12, 4, 4, 5},
                          {12, 2, 4, 5},   {12, 3, 4, 5},  {33, 3, 4, 5},  {33, 11, 2, 2},
                          {40, 40, 7, 7},  {40, 5, 19, 9}, {64, 2, 1, 3},  {33, 33, 30, 8},
                          {40, 10, 30, 20}};
    size_t turn = 0;
    for (const Variant variant : variants())
        for (const Case& c : cases) {
            ++turn;
            INFO(variant.name() << " " << c.channels << " channels in " << c.groups << " groups, "
                                << c.width << "x" << c.height);
            const GroupNormalization k = randomNormalization(c.channels, c.groups, 1e-3, turn);
            const Tensor x = reference::rounded(
                reference::random(2, c.height, c.width, c.channels, 100 + turn, -2, 3),
                variant.rounding());
            const Tensor g =
                reference::rounded(reference::randomLike(x, 200 + turn), variant.rounding());
            const auto source = upload(x, variant), dy = upload(g, variant);
            const bool keeps = turn % 3 != 0;
            const Normalized actual = both<GroupKind>(k, source, dy, x, variant, keeps);
            checkAgainstReference(actual, k, x, g, variant);
            if (c.groups == c.channels) {
                CHECK(both<InstanceKind>(k, source, dy, x, variant, keeps) == actual);
                conforms("CNNInstanceNormalization", Aspect::Forward, variant);
                conforms("CNNInstanceNormalizationGradient", Aspect::Gradient, variant);
            }
            conforms("CNNGroupNormalization", Aspect::Forward, variant);
            conforms("CNNGroupNormalizationGradient", Aspect::Gradient, variant);
            conforms("CNNGroupNormalizationGradientState", Aspect::State);
        }
}

TEST_CASE("images too large for one workgroup are normalized in parts") {
    const Case cases[] = {
        {33, 1, 31, 30}, {64, 1, 23, 23}, {8, 8, 65, 64}, {3, 3, 97, 90}, {12, 2, 60, 50}};
    for (const Case& c : cases)
        for (const Variant variant : variants()) {
            if (variant.format == MPS::ImageFeatureChannelFormat::Float16 && c.channels < 33)
                continue;
            INFO(variant.name() << " " << c.channels << " channels in " << c.groups << " groups");
            const GroupNormalization k = randomNormalization(c.channels, c.groups, 1e-3, 7);
            const Tensor x = reference::rounded(
                reference::random(2, c.height, c.width, c.channels, 8, -2, 3), variant.rounding());
            const Tensor g = reference::rounded(reference::randomLike(x, 9), variant.rounding());
            const auto source = upload(x, variant), dy = upload(g, variant);
            const Normalized actual = both<GroupKind>(k, source, dy, x, variant);
            checkAgainstReference(actual, k, x, g, variant);
            CHECK(both<GroupKind>(k, source, dy, x, variant, false) == actual);
            if (c.groups == c.channels)
                CHECK(both<InstanceKind>(k, source, dy, x, variant) == actual);
        }
}

TEST_CASE("a normalized image depends neither on its neighbours nor on where it lies") {
    for (const Case& c :
         {Case{12, 3, 6, 5}, Case{20, 5, 9, 7}, Case{8, 8, 16, 17}, Case{33, 1, 31, 30}}) {
        INFO(c.channels << " channels");
        const GroupNormalization k = randomNormalization(c.channels, c.groups, 1e-5, 3);
        const Tensor x = reference::random(4, c.height, c.width, c.channels, 4, -1, 5),
                     g = reference::randomLike(x, 5);
        const Normalized together = both<GroupKind>(k, upload(x), upload(g), x);
        CHECK(both<GroupKind>(k, upload(x), upload(g), x) == together);
        CHECK(both<GroupKind>(k, uploadApart(x), uploadApart(g), x) == together);
        Normalized singly{Tensor(), Tensor(), {}, {}};
        std::vector<Tensor> y, dx;
        for (size_t i = 0; i < 4; ++i) {
            const Tensor one = reference::image(x, i);
            const Normalized each =
                both<GroupKind>(k, upload(one), upload(reference::image(g, i)), one);
            y.push_back(each.y);
            dx.push_back(each.dx);
            singly.gamma.insert(singly.gamma.end(), each.gamma.begin(), each.gamma.end());
            singly.beta.insert(singly.beta.end(), each.beta.begin(), each.beta.end());
        }
        singly.y = reference::stack(y);
        singly.dx = reference::stack(dx);
        CHECK(singly == together);
    }
}

TEST_CASE("a large mean does not spoil the statistics") {
    for (const auto& [width, height] : {std::pair<size_t, size_t>{20, 21}, {97, 90}}) {
        const GroupNormalization k = randomNormalization(4, 2, 1e-5, 11);
        Tensor x = reference::random(1, height, width, 4, 12, 1000, 1002);
        x.v[0] = 990; // and the first pixel is no typical one
        x = reference::rounded(x, reference::Storage::Float32);
        const Tensor g = reference::randomLike(x, 13);
        const Normalized actual = both<GroupKind>(k, upload(x), upload(g), x);
        // Of 1000, fp32 keeps steps of 6e-5; the deviation is about 0.6.
        const auto d = reference::gradient(k, g, x);
        CHECK(reference::compare(actual.y, reference::forward(k, x), {2e-4}));
        CHECK(reference::compare(actual.dx, d.source, {2e-4}));
    }
}

TEST_CASE("a large mean does not spoil the gradient of fp16") {
    for (const Variant variant : variants()) {
        if (variant.format != MPS::ImageFeatureChannelFormat::Float16) continue;
        INFO(variant.name());
        const GroupNormalization k = randomNormalization(16, 8, 1e-5, 14);
        const Tensor x = reference::rounded(reference::random(2, 28, 29, 16, 15, 1000, 1010),
                                            variant.rounding());
        const Tensor g = reference::rounded(reference::randomLike(x, 16), variant.rounding());
        const Normalized actual =
            both<GroupKind>(k, upload(x, variant), upload(g, variant), x, variant);
        CHECK(reference::compare(actual.dx, reference::gradient(k, g, x).source,
                                 {variant.tolerance()}));
    }
}

TEST_CASE("a constant image becomes beta, and a single pixel has no gradient") {
    for (const auto& [width, height] : {std::pair<size_t, size_t>{1, 1}, {3, 3}, {97, 90}})
        for (const size_t groups : {6, 2, 1}) {
            INFO(width << "x" << height << " in " << groups << " groups");
            const GroupNormalization k = randomNormalization(6, groups, FLT_MIN, 21);
            const Tensor x(2, height, width, 6, double(0.1f));
            const Tensor g = reference::randomLike(x, 22);
            const Normalized actual = both<GroupKind>(k, upload(x), upload(g), x);
            size_t wrong = 0;
            for (size_t i = 0; i < actual.y.size(); ++i)
                wrong += actual.y.v[i] != k.beta[i % 6] || !std::isfinite(actual.dx.v[i]);
            CHECK(wrong == 0);
            for (const double v : actual.gamma) CHECK(v == 0);
            if (width * height * 6 / groups == 1)
                for (const double v : actual.dx.v) CHECK(v == 0);
        }
    // A pixel of its own is its own mean, whatever it is.
    const GroupNormalization k = randomNormalization(9, 9, FLT_MIN, 23);
    const Tensor x = reference::random(2, 1, 1, 9, 24), g = reference::randomLike(x, 25);
    const Normalized actual = both<InstanceKind>(k, upload(x), upload(g), x);
    for (size_t i = 0; i < 18; ++i) {
        CHECK(actual.y.v[i] == k.beta[i % 9]);
        CHECK(actual.dx.v[i] == 0);
    }
}

TEST_CASE("epsilon, gamma and beta have Apple's defaults, and epsilon can be set") {
    struct Plain : MPS::CNNInstanceNormalizationDataSource {
        uint64_t numberOfFeatureChannels() const override { return 5; }
        std::span<const float> gamma() const override { return {}; }
        std::span<const float> beta() const override { return {}; }
    };
    MPS::CNNInstanceNormalization kernel(testDevice(), std::make_shared<Plain>());
    CHECK(kernel.epsilon() == FLT_MIN);
    CHECK(kernel.label() == "");
    const Tensor x = reference::random(1, 3, 4, 5, 31);
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    GroupNormalization k;
    k.groups = 5;
    for (const float epsilon : {FLT_MIN, .5f}) {
        kernel.setEpsilon(epsilon);
        k.epsilon = epsilon;
        MPS::ImageBatch y;
        MPS::StateBatch states;
        run([&](const MTL::CommandBuffer& commands) {
            y = kernel.encodeBatch(commands, upload(x), &states, false);
        });
        CHECK(reference::compare(download(y), reference::forward(k, x)));
        const auto state = states[0].as<MPS::CNNInstanceNormalizationGradientState>();
        CHECK(floatsIn(state.gamma()) == std::vector<double>(5, 1));
        CHECK(floatsIn(state.beta()) == std::vector<double>(5, 0));
        CHECK(state.instanceNormalization()->epsilon() == epsilon);
        CHECK(!states[0].as<MPS::CNNGroupNormalizationGradientState>());
    }
}

TEST_CASE("normalization gradients are the slopes of the normalizations between two neurons") {
    for (const size_t groups : {6, 2, 1}) {
        INFO(groups << " groups");
        const GroupNormalization k = randomNormalization(6, groups, 1e-3, 41);
        const Tensor x = reference::random(1, 4, 5, 6, 42, -1.5, 1.5),
                     cotangent = reference::randomLike(x, 43);
        const MPS::NNNeuronDescriptor tanh(MPS::CNNNeuronType::TanH, 1, 1),
            sigmoid(MPS::CNNNeuronType::Sigmoid);
        MPS::CNNNeuron first(testDevice(), tanh), last(testDevice(), sigmoid);
        MPS::CNNNeuronGradient firstGradient(testDevice(), tanh),
            lastGradient(testDevice(), sigmoid);
        auto normalization = forwardOf<GroupKind>(k, 6);
        MPS::CNNGroupNormalizationGradient gradient(testDevice());
        for (MPS::CNNKernel* each : {&first, &last})
            each->setDestinationImageAllocator(MPS::Image::defaultAllocator());
        firstGradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
        MPS::ImageBatch hidden, y, out, dx;
        MPS::StateBatch states;
        const auto encode = [&](const MTL::CommandBuffer& commands, const MPS::ImageBatch& at) {
            hidden = first.encodeBatch(commands, at);
            y = normalization.encodeBatch(commands, hidden, &states, true);
            out = last.encodeBatch(commands, y);
        };
        const auto source = upload(x);
        run([&](const MTL::CommandBuffer& commands) {
            encode(commands, source);
            CHECK(states[0].isTemporary());
            CHECK(states[0].readCount() == 1);
            auto g = lastGradient.encodeBatch(commands, upload(cotangent), y);
            g = gradient.encodeBatch(commands, g, hidden, states);
            CHECK(states[0].readCount() == 0);
            dx = firstGradient.encodeBatch(commands, g, source);
        });
        const auto f = [&](const Tensor& at) {
            run([&](const MTL::CommandBuffer& commands) { encode(commands, upload(at)); });
            return dot(download(out), cotangent);
        };
        reference::GradientCheckOptions options;
        options.step = 4e-3;
        options.tolerance = 4e-3;
        options.samples = 30;
        CHECK(reference::checkGradient(f, x, download(dx), options));
    }
}
