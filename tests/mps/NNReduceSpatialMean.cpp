#include "mps/NNReduceSpatialMean.hpp"

#include "support/GradientCheck.hpp"
#include "support/Images.hpp"
#include "support/reference/Reduce.hpp"

#include <mpsvk/MPS/CNNNeuron.hpp>
#include <mpsvk/MPS/KeyedArchiver.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::Tensor;

namespace {

Tensor mean(const Tensor& x) {
    return reference::reduce(reference::ReduceAxis::Image, reference::ReduceOperation::Mean, x);
}

struct Result {
    Tensor y, dx;
};

/// With images that the kernels make.
Result both(mps::NNReduceSpatialMean kernel, const MPS::ImageBatch& x, const MPS::ImageBatch& g,
            bool temporary = false) {
    mps::NNReduceSpatialMeanGradient gradient(testDevice());
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch y, dx;
    run([&](const MTL::CommandBuffer& commands) {
        MPS::StateBatch states;
        y = kernel.encodeBatch(commands, x, &states, temporary);
        dx = gradient.encodeBatch(commands, g, x, states);
    });
    return {download(y), download(dx)};
}

} // namespace

TEST_CASE("the mean over an image and its gradient equal the reference in every storage") {
    for (const Variant variant : variants())
        for (const auto& [h, w, c] :
             {std::array<size_t, 3>{1, 1, 1}, {7, 5, 6}, {40, 31, 66}, {130, 70, 3}}) {
            INFO(variant.name() << " " << h << "x" << w << "x" << c);
            const Tensor x =
                reference::rounded(reference::random(2, h, w, c, 1, -1, 2), variant.rounding());
            const Tensor g =
                reference::rounded(reference::random(2, 1, 1, c, 2), variant.rounding());
            const Tensor magnitude = mean(reference::absolute(x));
            Guarded y(2, 1, 1, c, variant), dx(2, h, w, c, variant);
            mps::NNReduceSpatialMean kernel(testDevice());
            mps::NNReduceSpatialMeanGradient gradient(testDevice());
            run([&](const MTL::CommandBuffer& commands) {
                const auto source = upload(x, variant);
                const auto states = kernel.resultStateBatch(source, {}, y.images());
                kernel.encodeBatch(commands, source, states, y.images());
                gradient.encodeBatch(commands, upload(g, variant), source, states, dx.images());
            });
            CHECK(reference::compare(y.read(), mean(x), {variant.tolerance(), 0, &magnitude}));
            // fp16 goes down to 2^-24 only
            const double least = variant.rounding() == reference::Storage::Float16 ? 0x1p-24 : 0;
            CHECK(reference::compare(dx.read(), reference::spatialMeanGradient(g, x),
                                     {variant.tolerance(), least}));
        }
}

TEST_CASE("a mean does not depend on where the images lie, nor on the run") {
    const Tensor x = reference::random(4, 33, 35, 65, 3), g = reference::random(4, 1, 1, 65, 4);
    mps::NNReduceSpatialMean kernel(testDevice());
    const Result together = both(kernel, upload(x), upload(g)),
                 apart = both(kernel, uploadApart(x), uploadApart(g)),
                 again = both(kernel, upload(x), upload(g), true);
    CHECK(together.y.v == apart.y.v);
    CHECK(together.dx.v == apart.dx.v);
    CHECK(together.y.v == again.y.v);
    CHECK(together.dx.v == again.dx.v);
    for (size_t i = 0; i < x.n; ++i) {
        const Result one =
            both(kernel, upload(reference::image(x, i)), upload(reference::image(g, i)));
        CHECK(reference::image(together.y, i).v == one.y.v);
        CHECK(reference::image(together.dx, i).v == one.dx.v);
    }
}

TEST_CASE("the gradient of a mean over a rectangle is zero around it") {
    const Tensor x = reference::random(2, 6, 7, 12, 5);
    const Tensor part = reference::channels(reference::crop(x, {2, 1, 4, 3}), 4, 5);
    mps::NNReduceSpatialMean kernel(testDevice());
    kernel.setClipRectSource({{2, 1, 0}, {4, 3, 1}});
    kernel.setSourceFeatureChannelOffset(4);
    kernel.setSourceFeatureChannelMaxCount(5);
    kernel.setDestinationFeatureChannelOffset(8);
    kernel.setClipRect({{1, 2, 0}, {1, 1, 1}});
    const Tensor before = reference::random(2, 4, 3, 16, 6);
    const auto source = upload(x), y = upload(before), g = upload(reference::randomLike(before, 7));
    mps::NNReduceSpatialMeanGradient gradient(testDevice());
    gradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch dx;
    run([&](const MTL::CommandBuffer& commands) {
        const auto states = kernel.resultStateBatch(source, {}, y);
        kernel.encodeBatch(commands, source, states, y);
        dx = gradient.encodeBatch(commands, g, source, states);
    });
    const Tensor written = reference::channels(reference::crop(download(y), {1, 2, 1, 1}), 8, 5);
    CHECK(reference::compare(written, mean(part)));
    const Tensor incoming = reference::channels(reference::crop(download(g), {1, 2, 1, 1}), 8, 5);
    Tensor expected(2, 6, 7, 5);
    reference::paste(expected, {2, 1}, 0, reference::spatialMeanGradient(incoming, part));
    CHECK(reference::compare(download(dx), expected));

    const auto again = MPS::KeyedUnarchiver::unarchivedObject<mps::NNReduceSpatialMean>(
        MPS::KeyedArchiver::archivedData(kernel), testDevice());
    CHECK(again.debugDescription() == kernel.debugDescription());
    CHECK(kernel.copy(testDevice()).debugDescription() == kernel.debugDescription());
    CHECK(MPS::KeyedUnarchiver::unarchivedObject<mps::NNReduceSpatialMeanGradient>(
              MPS::KeyedArchiver::archivedData(gradient), testDevice())
              .debugDescription() == gradient.debugDescription());
}

TEST_CASE("the gradient of a mean is the slope of a mean between two neurons") {
    const Tensor x = reference::random(1, 4, 3, 6, 10),
                 cotangent = reference::random(1, 1, 1, 6, 11);
    const MPS::NNNeuronDescriptor tanh(MPS::CNNNeuronType::TanH, 1.5f, 1),
        soft(MPS::CNNNeuronType::SoftSign);
    MPS::CNNNeuron first(testDevice(), tanh), last(testDevice(), soft);
    MPS::CNNNeuronGradient firstGradient(testDevice(), tanh), lastGradient(testDevice(), soft);
    mps::NNReduceSpatialMean kernel(testDevice());
    mps::NNReduceSpatialMeanGradient gradient(testDevice());
    for (MPS::CNNKernel* each :
         {static_cast<MPS::CNNKernel*>(&first), static_cast<MPS::CNNKernel*>(&kernel),
          static_cast<MPS::CNNKernel*>(&last)})
        each->setDestinationImageAllocator(MPS::Image::defaultAllocator());
    firstGradient.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch hidden, y, out, dx;
    const auto encode = [&](const MTL::CommandBuffer& commands, const MPS::ImageBatch& at) {
        hidden = first.encodeBatch(commands, at);
        y = kernel.encodeBatch(commands, hidden);
        out = last.encodeBatch(commands, y);
    };
    const auto f = [&](const Tensor& at) {
        run([&](const MTL::CommandBuffer& commands) { encode(commands, upload(at)); });
        return dot(download(out), cotangent);
    };
    const auto source = upload(x);
    run([&](const MTL::CommandBuffer& commands) {
        encode(commands, source);
        auto g = lastGradient.encodeBatch(commands, upload(cotangent), y);
        g = gradient.encodeBatch(commands, g, hidden); // without a state: of the whole image
        dx = firstGradient.encodeBatch(commands, g, source);
    });
    reference::GradientCheckOptions options;
    options.step = 1e-2;
    options.tolerance = 2e-3;
    CHECK(reference::checkGradient(f, x, download(dx), options));
}

TEST_CASE("the gradient of a mean refuses what cannot be") {
    const auto x = upload(Tensor(1, 4, 5, 6)), g = upload(Tensor(1, 1, 1, 6)),
               narrow = upload(Tensor(1, 1, 1, 5));
    const auto commands = testQueue().commandBuffer();
    mps::NNReduceSpatialMean kernel(testDevice());
    mps::NNReduceSpatialMeanGradient gradient(testDevice());
    const auto states = kernel.resultStateBatch(x, {}, g);
    CHECK(refusal([&] { gradient.encodeBatch(commands, narrow, x, states); }).find("6") !=
          std::string::npos);
    gradient.setPrimaryOffset({1, 0, 0});
    CHECK(refusal([&] {
              gradient.encodeBatch(commands, g, x, states, upload(Tensor(1, 4, 5, 6)));
          }) == "[NNReduceSpatialMeanGradient] The mean's pixel (1, 0) lies outside the 1x1 "
                "sourceGradient.");
    CHECK(refusal([&] {
              MPS::CNNNeuron neuron(testDevice(),
                                    MPS::NNNeuronDescriptor(MPS::CNNNeuronType::ReLU));
              const auto others = neuron.resultStateBatch(x, {}, x);
              gradient.encodeBatch(commands, g, x, others);
          }).find("made by a CNNNeuron") != std::string::npos);
}
